"""How far the submission of a file got, kept in a small file so that the same command goes on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reached:
    """What of a file is done with."""

    rows: int = 0
    """Rows read from the file's beginning, all confirmed or rejected."""
    rejected: int = 0
    rejected_bytes: int = 0
    """Length of the file of rejected rows, so that a row is not told twice."""

    @property
    def confirmed(self) -> int:
        """Posts that are on the queue."""
        return self.rows - self.rejected


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A place in one file, valid only for one ``job``: the same file, unchanged, with the same options, to the same queue."""

    path: Path
    job: Mapping[str, str | int | None]

    def read(self) -> Reached:
        """Where to go on; the beginning if there is no bookmark, or one of another job."""
        try:
            kept = json.loads(self.path.read_text())
            return Reached(**kept["reached"]) if kept["job"] == dict(self.job) else Reached()
        except (OSError, ValueError, KeyError, TypeError):
            return Reached()

    def write(self, reached: Reached) -> None:
        """Replace the bookmark, whole or not at all."""
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(json.dumps({"job": dict(self.job), "reached": asdict(reached)}))
        os.replace(fresh, self.path)  # noqa: PTH105

    def remove(self) -> None:
        """Forget it: the file is done with."""
        self.path.unlink(missing_ok=True)

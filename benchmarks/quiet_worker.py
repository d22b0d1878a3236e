"""The real worker of ``modq work``, its classifier replaced by one that only looks at the first character.

What it costs is what modq costs besides the model. Takes the options of ``modq work``.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from types import SimpleNamespace

from modq_worker.verdict import Score

TOXIC_MARK = "!"

_SAFE, _TOXIC = Score(0.1), Score(0.9)


class QuietJudge:
    """A post is toxic if its text begins with the mark."""

    adapter = SimpleNamespace(id="quiet@0", threshold=0.5)

    @classmethod
    def load(cls, *_: object, **__: object) -> QuietJudge:
        """In the place of ``Classifier.load``."""
        return cls()

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        """All in one pass."""
        before_pass()
        return [_TOXIC if text[0] == TOXIC_MARK else _SAFE for text in texts]


if __name__ == "__main__":
    module = types.ModuleType("modq_worker.classifier")
    module.Classifier = QuietJudge  # type: ignore[attr-defined]
    sys.modules["modq_worker.classifier"] = module
    from modq.cli import main

    sys.exit(main(["work", *sys.argv[1:]]))

"""What the drain needs of whatever gives posts their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from modq_worker.verdict import Score


class BeforePass(Protocol):
    """Called before each forward pass, which is to be a short one if this returns True; what it raises ends the work."""

    def __call__(self) -> bool | None: ...


class Judge(Protocol):
    """A classifier, or who answers for one."""

    def score(self, texts: Sequence[str], before_pass: BeforePass = ...) -> list[Score]:
        """One score per text, in their order."""

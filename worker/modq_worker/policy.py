"""A policy: what the site wants done about a score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """A post whose score reaches ``threshold`` (0 to 1) is toxic."""

    threshold: float

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"the threshold must lie between 0 and 1, not be {self.threshold}")

    @property
    def name(self) -> str:
        """How a verdict tells which policy it was made under."""
        return f"threshold={self.threshold:.4g}"

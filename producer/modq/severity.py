"""How grave the rules of the constitution are that a post breaks, in four words."""

from __future__ import annotations

from typing import Final, Literal, get_args

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""From the least on."""

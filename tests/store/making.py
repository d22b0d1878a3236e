"""Verdicts for the tests of the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from modq.post import Lane, Post
from modq.severity import Severity
from modq_worker.verdict import Label, Verdict


def verdict(
    id: str, text: str = "you are all idiots", *, label: Label = "toxic", score: float = 0.9, severity: Severity | None = None, lane: Lane = "live", **post: Any
) -> Verdict:
    """A verdict on a post of this id; what `post` holds are the post's other fields."""
    judged = Post(id, text, **post)
    return Verdict(judged, judged.key, lane, label, score, {}, severity, False, "tiny@1", "threshold=0.5", datetime.now(UTC))


def safe(id: str, text: str = "good morning", **post: Any) -> Verdict:
    return verdict(id, text, label="safe", score=0.1, **post)

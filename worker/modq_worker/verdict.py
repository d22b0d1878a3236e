"""From a score to a verdict: pure, so it can be read and tested without a clock, a model or a network."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from modq.post import Lane, Post
from modq.severity import Severity
from modq_worker.policy import Policy

Label = Literal["safe", "toxic"]


@dataclass(frozen=True, slots=True)
class Score:
    """What the classifier says of one text."""

    toxic: float
    """Probability of toxic, 0 to 1: the largest over the text's windows, raw and cleaned."""
    truncated: bool = False
    """Whether the text had more windows than were judged."""
    rules: Mapping[str, float] = field(default_factory=dict)
    """Probability of each rule of the constitution that the text breaks, for adapters that tell them apart."""
    severity: Severity | None = None
    """Of the gravest of these rules."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is stored of one judged post; ``key`` is unique by source, post id and content."""

    post: Post
    key: uuid.UUID
    lane: Lane
    label: Label
    score: float
    rules: Mapping[str, float]
    severity: Severity | None
    """Of the gravest rule that the post breaks; None where none is known, as of what is safe."""
    truncated: bool
    adapter: str
    policy: str
    published_at: datetime
    """When the queue accepted the post."""


def decide(post: Post, score: Score, policy: Policy, *, adapter: str, lane: Lane, published_at: datetime) -> Verdict:
    """Apply ``policy`` to ``score``.

    Raises:
        ValueError: the score is no probability, which a broken model gives (NaN).
    """
    label = label_of(score, policy)
    return Verdict(
        post=post,
        key=post.key,
        lane=lane,
        label=label,
        score=score.toxic,
        # What is safe breaks no rule, however near it came.
        rules=score.rules if label == "toxic" else {},
        severity=score.severity if label == "toxic" else None,
        truncated=score.truncated,
        adapter=adapter,
        policy=policy.name,
        published_at=published_at,
    )


def label_of(score: Score, policy: Policy) -> Label:
    """What ``policy`` calls a text of this score.

    Raises:
        ValueError: the score is no probability, which a broken model gives (NaN).
    """
    if not 0 <= score.toxic <= 1 or math.isnan(score.toxic):
        raise ValueError("the classifier gave a score that is no probability")
    return "toxic" if score.toxic >= policy.threshold else "safe"

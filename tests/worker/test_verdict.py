"""What the policy makes of a score, without a model: a safe verdict breaks no rule and is not grave, however near the text came."""

from __future__ import annotations

from datetime import UTC, datetime

from modq.post import Post
from modq_worker.policy import Policy
from modq_worker.verdict import Score, Verdict, decide


def verdict(toxic: float) -> Verdict:
    score = Score(toxic, rules={"insult": 0.7}, severity="low")
    return decide(Post(id="1", text="x"), score, Policy(0.6), adapter="a@1", lane="live", published_at=datetime.now(UTC))


def test_a_toxic_verdict_says_which_rules_are_broken_and_how_grave_that_is_and_a_safe_one_nothing() -> None:
    assert (verdict(0.9).label, verdict(0.9).rules, verdict(0.9).severity) == ("toxic", {"insult": 0.7}, "low")
    assert (verdict(0.5).label, verdict(0.5).rules, verdict(0.5).severity) == ("safe", {}, None)

"""Remembers what the classifier said of recent texts, so that a text that many people post is judged once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from redis import Redis, RedisError, ResponseError

from modq_worker.judge import BeforePass, Judge
from modq_worker.verdict import Score

NEW: Final = "modq:scores:new"
"""A hash from a digest of adapter and text to the score; holds no text."""
OLD: Final = "modq:scores:old"
"""What ``NEW`` was before it was full: so what was not asked for lately goes, all at once."""

_KEPT_MS: Final = 86_400_000
"""A day after it was begun, a hash goes, whatever it holds."""
_REST_SECONDS: Final = 30.0

log = structlog.get_logger(__name__)


class CachingJudge:
    """Answers for the classifier where it has said the same before, on this worker or another.

    A cache that is away, full or forbidden costs the saving and nothing else. Not for use from two threads at once.
    """

    def __init__(self, judge: Judge, redis: Redis, *, adapter: str, size: int) -> None:
        self._judge = judge
        self._redis: Any = redis
        self._adapter = adapter
        self._size = size
        self._rest_until = 0.0
        self._judge_failed = False

    def score(self, texts: Sequence[str], before_pass: BeforePass = lambda: None) -> list[Score]:
        """As the classifier's; texts that are remembered take no forward pass."""
        digests = [self._digest(text) for text in texts]
        scores = self._remembered(digests)
        unknown = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in scores}
        if unknown:
            judged = dict(zip(unknown, self._ask(list(unknown.values()), before_pass), strict=True))
            self._remember(judged)
            scores |= judged
        return [scores[digest] for digest in digests]

    def _digest(self, text: str) -> bytes:
        return hashlib.sha256(f"{self._adapter}\0{text}".encode(errors="surrogatepass")).digest()[:16]

    def _ask(self, texts: list[str], before_pass: BeforePass) -> list[Score]:
        # Who asks again after a failure wants to know whether the classifier works, which no memory can tell.
        try:
            scores = self._judge.score(texts, before_pass)
        except BaseException:
            self._judge_failed = True
            raise
        self._judge_failed = False
        return scores

    def _remembered(self, digests: Sequence[bytes]) -> dict[bytes, Score]:
        if not digests or self._judge_failed or self._resting():
            return {}
        distinct = list(dict.fromkeys(digests))
        try:
            pipeline = self._redis.pipeline(transaction=False)
            newer, older = pipeline.hmget(NEW, distinct).hmget(OLD, distinct).execute()
        except RedisError as error:
            self._rest(error)
            return {}
        found = {digest: _score(new or old) for digest, new, old in zip(distinct, newer, older, strict=True)}
        return {digest: score for digest, score in found.items() if score is not None}

    def _remember(self, judged: Mapping[bytes, Score]) -> None:
        values = {digest: json.dumps([score.toxic, score.truncated, dict(score.rules), score.severity]) for digest, score in judged.items() if 0 <= score.toxic <= 1}
        if not values or self._resting():
            return
        try:
            pipeline = self._redis.pipeline(transaction=False)
            *_, held = pipeline.hset(NEW, mapping=values).pexpire(NEW, _KEPT_MS, nx=True).hlen(NEW).execute()
            if held >= self._size / 2:
                # Another worker may have been quicker, and then there is nothing to rename.
                with suppress(ResponseError):
                    self._redis.rename(NEW, OLD)
        except RedisError as error:
            self._rest(error)

    def _resting(self) -> bool:
        return time.monotonic() < self._rest_until

    def _rest(self, error: RedisError) -> None:
        """Judge without it for a while: to wait for a silent server again and again would cost more than judging."""
        self._rest_until = time.monotonic() + _REST_SECONDS
        log.warning("scores_not_cached", error=type(error).__name__)


def clear(redis: Redis) -> None:
    """Forget every score; workers go on remembering new ones.

    Raises:
        redis.RedisError: the queue is away, or its user may not do this.
    """
    redis.delete(NEW, OLD)


def _score(value: bytes | None) -> Score | None:
    """What is remembered; None for what this version of modq did not write."""
    try:
        toxic, truncated, rules, severity = json.loads(value or b"")
        return Score(toxic, truncated, rules, severity) if 0 <= toxic <= 1 else None
    except (ValueError, TypeError):
        return None

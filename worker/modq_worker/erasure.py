"""Erases posts everywhere that modq keeps them: first on the queue, then in the store, and again until nothing is found.

An entry leaves the queue only once its verdict is committed. So what a look at the queue does not see was either
removed by it, or is in the store already, where the look that follows finds it; what a living worker has in hand is
waited for. One clean round therefore proves that nothing is left of what was published before it.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from redis import Redis
from redis.exceptions import NoPermissionError
from sqlalchemy import Engine

from modq.post import LANES
from modq_worker import score_cache
from modq_worker.queue_erasure import QueueErasure, rewrite_aof
from modq_worker.store_erasure import TABLES, StoreErasure, vacuum
from modq_worker.store_errors import StoreUnavailable
from modq_worker.whose import Quotable, Selector

_LOOK_AGAIN_SECONDS: Final = 0.2
_ERASED: Final = (*(f"stream_{lane}" for lane in LANES), *TABLES, "quotations")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased; holds no text."""

    at: datetime
    selector: Selector
    dry_run: bool
    counts: dict[str, int]
    """Of entries in each stream, of rows in each table, and of ``quotations``: other posts that lost their ``parent_text``."""
    held: int
    """Entries that a worker still had in hand when the time was over: erase again."""
    unreadable: int
    """Entries and dead letters that nobody can read, but that hold the names: look at them."""
    complete: bool
    """Whether a last look at every place found nothing more. Never of a dry run."""
    scores: str = "untouched"
    """``forgotten``, all that workers remember of any text; ``not_permitted``."""
    redis_files: str = "untouched"
    postgres_files: str = "untouched"


class Erasure:
    """One person's, post's or source's content, on the queue of ``redis`` and in the store of ``engine``."""

    def __init__(self, redis: Redis, engine: Engine, selector: Selector, *, unreadable: bool = False, quotations: bool = True) -> None:
        self._redis = redis
        self._engine = engine
        self._selector = selector
        self._unreadable = unreadable
        self._quotations = quotations
        self._scores = "untouched"

    def preview(self) -> Receipt:
        """What ``erase`` would find now; nothing is changed."""
        found = self._round(set() if self._quotations else None, dry_run=True)
        return self._receipt(found, found, dry_run=True, complete=False)

    def erase(self, *, wait_seconds: float = 30.0, rewrite_files: bool = True, vacuum_full: bool = False) -> Receipt:
        """Erase, waiting up to ``wait_seconds`` for what workers have in hand. Safe to repeat, also after an interruption.

        With ``rewrite_files`` the servers then rewrite or clear their files where this user may have them do so.

        Raises:
            redis.RedisError, StoreError: a server failed; erase again.
        """
        quotable: set[Quotable] | None = set() if self._quotations else None
        total, deadline = Counter[str](), None
        while True:
            found = self._patient_round(quotable)
            total += Counter({place: found[place] for place in _ERASED})
            if complete := not found["held"] and not any(found[place] for place in _ERASED):
                break
            deadline = deadline or time.monotonic() + wait_seconds
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_AGAIN_SECONDS if found["held"] else 0)
        redis_files = rewrite_aof(self._redis) if rewrite_files else "untouched"
        touched = {table for table in TABLES if total[table]} | ({"posts", "dead_letters"} if total["quotations"] else set())
        postgres_files = vacuum(self._engine, touched, full=vacuum_full) if rewrite_files or vacuum_full else "untouched"
        return self._receipt(total, found, complete=complete, redis_files=redis_files, postgres_files=postgres_files)

    def _patient_round(self, quotable: set[Quotable] | None) -> Counter[str]:
        """A round, tried once more where the store was away for a moment or ended a deadlock at our cost."""
        try:
            return self._round(quotable)
        except StoreUnavailable:
            time.sleep(1)
            return self._round(quotable)

    def _round(self, quotable: set[Quotable] | None, *, dry_run: bool = False) -> Counter[str]:
        queue = QueueErasure(self._redis, self._selector, unreadable=self._unreadable, dry_run=dry_run)
        store = StoreErasure(self._engine, self._selector, unreadable=self._unreadable, dry_run=dry_run)
        found = queue.erase(quotable)
        if not dry_run:
            # Now, since a worker remembers a score before it lets go of the entry.
            self._scores = self._forget_scores()
        return found + store.erase(quotable)

    def _forget_scores(self) -> str:
        """Of all texts: which of them are hers cannot be seen, and to judge again costs little."""
        try:
            score_cache.clear(self._redis)
        except NoPermissionError:
            return "not_permitted"
        return "forgotten"

    def _receipt(
        self,
        total: Counter[str],
        last: Counter[str],
        *,
        complete: bool,
        dry_run: bool = False,
        redis_files: str = "untouched",
        postgres_files: str = "untouched",
    ) -> Receipt:
        return Receipt(
            at=datetime.now(UTC),
            selector=self._selector,
            dry_run=dry_run,
            counts={place: total[place] for place in _ERASED},
            held=last["held"],
            unreadable=last["unreadable"],
            complete=complete,
            scores=self._scores,
            redis_files=redis_files,
            postgres_files=postgres_files,
        )

"""The account of a world: every post that a producer saw confirmed, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text
from tests.faults.site import Site

from modq.errors import InvalidPost
from modq.post import decode


@dataclass(frozen=True, slots=True)
class Account:
    """What became of every post that a producer saw confirmed."""

    confirmed: int
    verdicts: int
    dead_letters: int
    lost: int
    doubled: int
    unexpected: int
    """Verdicts and dead letters of posts that nobody saw confirmed."""
    toxic: int
    told: int
    """Toxic verdicts of which the site heard."""
    ids_per_verdict: int
    """Distinct webhook ids per toxic verdict, at most."""
    worst_seconds: float
    """From publishing to the stored verdict."""
    worst_told_seconds: float
    """From the stored verdict to the webhook that was recorded as delivered."""

    @classmethod
    def close(cls, engine: Engine, confirmed: Collection[str], site: Site) -> Account:
        """Count, once nothing is left to do."""
        judged = Counter(row[0] for row in _all(engine, "SELECT post_id FROM posts JOIN verdicts ON post_key = key"))
        parked = parked_posts(engine)
        outcome = judged.keys() | parked.keys()
        toxic = {row[0] for row in _all(engine, "SELECT post_id FROM posts JOIN verdicts ON post_key = key WHERE label = 'toxic'")}
        return cls(
            confirmed=len(confirmed),
            verdicts=sum(judged.values()),
            dead_letters=len(parked),
            lost=len(set(confirmed) - outcome),
            doubled=sum(count - 1 for count in judged.values()) + len(judged.keys() & parked.keys()),
            unexpected=len(outcome - set(confirmed)),
            toxic=len(toxic),
            told=len(toxic & site.ids_of_post.keys()),
            ids_per_verdict=max((len(ids) for ids in site.ids_of_post.values()), default=0),
            worst_seconds=_worst(engine, "SELECT max(extract(epoch FROM stored_at - published_at)) FROM posts JOIN verdicts ON post_key = key"),
            worst_told_seconds=_worst(engine, "SELECT max(extract(epoch FROM delivered_at - stored_at)) FROM deliveries JOIN verdicts USING (post_key)"),
        )


def parked_posts(engine: Engine) -> dict[str, str]:
    """The ids of the posts that became dead letters, and why."""
    return {_id_in(bytes(raw)): reason for raw, reason in _all(engine, "SELECT raw, reason FROM dead_letters")}


def _id_in(raw: bytes) -> str:
    try:
        return decode(raw).id
    except InvalidPost:
        return f"unreadable {raw[:20]!r}"


def _worst(engine: Engine, query: str) -> float:
    return float(_all(engine, query)[0][0] or 0)


def _all(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query)).all())

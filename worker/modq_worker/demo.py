"""The demo's work: publish posts as a lively forum would, follow them until all are accounted for, and measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Engine

from modq.errors import InvalidPost, ModqError
from modq.post import Post, decode
from modq.producer import Producer
from modq_worker.stack import Stack
from modq_worker.store_errors import store_errors

POSTS: Final = Path(__file__).with_name("demo_posts.jsonl")
STEADY_POSTS: Final = 200
"""So many are published one by one, for their latency; the rest at once, for the throughput."""
STEADY_PER_SECOND: Final = 50.0
_PATIENCE_SECONDS: Final = 60.0


class DemoFailed(ModqError):
    """The demo could not read its posts, or they stopped coming through."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How far the posts of a run are."""

    published: int = 0
    verdicts: int = 0
    flagged: int = 0
    dead_letters: int = 0
    deliveries: int = 0
    webhooks: int = 0
    """Distinct ones that the forum received and verified."""
    refused: int = 0
    """Webhooks that the forum refused."""


@dataclass(frozen=True, slots=True)
class Flagged:
    """A post that was found toxic."""

    post: Post
    score: float
    hidden: bool
    """Whether the forum hid it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came out of a run."""

    expected: int
    """Different posts that were published: one verdict or dead letter is owed for each."""
    tally: Tally
    flagged: Sequence[Flagged]
    """The highest score first."""
    latency: Mapping[int, float]
    """Seconds from published to stored, by percentile, of the posts published one by one."""
    throughput: float | None
    """Posts a second of those published at once; None if there were none."""
    by_kind: Mapping[str, tuple[int, int]]
    """Where the posts say what they were written as: how many of each were flagged, and how many there are."""

    @property
    def faults(self) -> list[str]:
        """What does not add up, in sentences."""
        tally, checks = self.tally, []
        if tally.verdicts + tally.dead_letters != self.expected:
            checks.append(f"{self.expected} posts are owed {self.expected} verdicts or dead letters, and got {tally.verdicts} + {tally.dead_letters}.")
        if not tally.flagged == tally.deliveries == tally.webhooks:
            checks.append(f"{tally.flagged} flags are owed as many webhooks: {tally.deliveries} were written, {tally.webhooks} were verified.")
        if tally.refused:
            checks.append(f"The forum refused {tally.refused} webhooks.")
        if shown := sum(not flagged.hidden for flagged in self.flagged):
            checks.append(f"{shown} flagged posts were not hidden.")
        return checks


def read_posts(path: Path, count: int | None, source: str) -> list[Post]:
    """``count`` posts of a JSONL file, or all, as posts of ``source``; beyond the file's end they begin anew under other ids.

    Raises:
        DemoFailed: the file cannot be read, or a line of it is no post.
    """
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise DemoFailed(f"{path} cannot be read: {error.strerror}") from error
    posts = [_post(line, f"{path}, line {number}", source) for number, line in enumerate(lines, 1)]
    if not posts:
        raise DemoFailed(f"{path} holds no posts")
    return list(islice(_again_and_again(posts), len(posts) if count is None else count))


class Run:
    """One run of the demo on a stack that is ready."""

    def __init__(self, stack: Stack, engine: Engine, posts: Sequence[Post], source: str) -> None:
        self._stack = stack
        self._engine = engine
        self._posts = posts
        self._source = source
        self._burst_at: datetime | None = None

    def follow(self, show: Callable[[Tally], None]) -> Report:
        """Publish, and call ``show`` a few times a second until every post is accounted for.

        Raises:
            DemoFailed: nothing moved for a minute.
        """
        expected = len({post.key for post in self._posts})
        last, moved = Tally(), time.monotonic()
        for published in self._publish():
            tally = self._tally(published)
            show(tally)
            if tally != last:
                last, moved = tally, time.monotonic()
            if published == len(self._posts) and tally.verdicts + tally.dead_letters >= expected and tally.webhooks >= tally.flagged:
                break
            if time.monotonic() - moved > _PATIENCE_SECONDS:
                raise DemoFailed(f"nothing moved for {_PATIENCE_SECONDS:.0f} s; the logs are in {self._stack.home / 'logs'}")
        return self._report(expected, last)

    def _publish(self) -> Iterator[int]:
        """Publish steadily, then the rest at once; yields how many are published, and goes on for ever."""
        began, published = time.monotonic(), 0
        steady = min(STEADY_POSTS, len(self._posts))
        with Producer(self._stack.redis_url) as producer:
            while True:
                self._stack.look_after()
                due = min(steady, int((time.monotonic() - began) * STEADY_PER_SECOND))
                for post in self._posts[published:due]:
                    producer.submit(post)
                    published += 1
                if published == steady and self._burst_at is None:
                    # The queue tells milliseconds; so that none of these posts seems to come before.
                    self._burst_at = datetime.fromtimestamp(int(time.time() * 1000) / 1000, UTC)
                    published += producer.submit_many(self._posts[steady:])
                yield published
                time.sleep(0.05)

    def _tally(self, published: int) -> Tally:
        row, forum = self._row(_TALLY), self._stack.forum_state()
        return Tally(published, row["verdicts"], row["flagged"], row["dead_letters"], row["deliveries"], forum["events"], forum["refused"])

    def _report(self, expected: int, tally: Tally) -> Report:
        measured = self._row(_MEASURED)
        rate = measured["burst"] / measured["seconds"] if measured["burst"] and measured["seconds"] else None
        scores = self._scores()
        hidden = {post["id"] for post in self._stack.forum_state()["hidden"] if post["source"] == self._source}
        posts = {post.id: post for post in self._posts}
        flagged = [Flagged(posts[id], score, id in hidden) for id, score in scores.items()]
        return Report(
            expected,
            tally,
            sorted(flagged, key=lambda each: -each.score),
            dict(zip((50, 99), measured["latency"] or (), strict=False)),
            rate,
            _by_kind(self._posts, scores.keys()),
        )

    def _row(self, statement: sqlalchemy.TextClause) -> Mapping[str, Any]:
        with store_errors(), self._engine.connect() as connection:
            return dict(connection.execute(statement, {"source": self._source, "burst_at": self._burst_at}).mappings().one())

    def _scores(self) -> dict[str, float]:
        with store_errors(), self._engine.connect() as connection:
            return {row.post_id: row.score for row in connection.execute(_FLAGGED, {"source": self._source})}


def _post(line: bytes, place: str, source: str) -> Post:
    try:
        return replace(decode(line), source=source)
    except InvalidPost as error:
        raise DemoFailed(f"{place}: {error}") from error


def _again_and_again(posts: Sequence[Post]) -> Iterator[Post]:
    yield from posts
    lap = 1
    while True:
        lap += 1
        yield from (replace(post, id=f"{post.id[:190]}-{lap}") for post in posts)


def _by_kind(posts: Sequence[Post], flagged: Any) -> dict[str, tuple[int, int]]:
    kinds: dict[str, tuple[int, int]] = {}
    for post in posts:
        if isinstance(kind := post.metadata.get("written_as"), str):
            so_far = kinds.get(kind, (0, 0))
            kinds[kind] = so_far[0] + (post.id in flagged), so_far[1] + 1
    return kinds


_TALLY: Final = sqlalchemy.text("""
    SELECT count(v.post_key) AS verdicts, count(*) FILTER (WHERE v.label = 'toxic') AS flagged,
           (SELECT count(*) FROM dead_letters WHERE source = :source) AS dead_letters,
           (SELECT count(*) FROM deliveries d JOIN posts p ON p.key = d.post_key WHERE p.source = :source) AS deliveries
    FROM posts p JOIN verdicts v ON v.post_key = p.key
    WHERE p.source = :source
""")
_MEASURED: Final = sqlalchemy.text("""
    SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM v.stored_at - p.published_at)::float8)
             FILTER (WHERE p.published_at < :burst_at) AS latency,
           count(*) FILTER (WHERE p.published_at >= :burst_at) AS burst,
           extract(epoch FROM max(v.stored_at) FILTER (WHERE p.published_at >= :burst_at) - CAST(:burst_at AS timestamptz))::float8 AS seconds
    FROM posts p JOIN verdicts v ON v.post_key = p.key
    WHERE p.source = :source
""")
_FLAGGED: Final = sqlalchemy.text("""
    SELECT p.post_id, v.score FROM posts p JOIN verdicts v ON v.post_key = p.key
    WHERE p.source = :source AND v.label = 'toxic'
""")

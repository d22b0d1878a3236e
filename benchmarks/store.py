"""What keeping a verdict costs, against a commit per row: python benchmarks/store.py, with a server of its own."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from report import Finding, options, report
from rounds import Spread, in_turn
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from stand import SENTENCE

from modq.post import Post
from modq.signature import new_secret
from modq_worker.database import connected
from modq_worker.embedded import PostgresServer
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import Endpoints
from modq_worker.migrate import migrate
from modq_worker.tables import PostRow, VerdictRow
from modq_worker.verdict import Verdict
from modq_worker.verdict_store import VerdictStore

BATCH = 256
ONE_BY_ONE, TOGETHER, OURS = "ORM, a commit per row", "ORM, a commit per batch", "VerdictStore.save"
ROWS = {ONE_BY_ONE: 128, TOGETHER: 20 * BATCH, OURS: 40 * BATCH}
SMOKE_ROWS = 20


def main() -> None:
    """Measure, print, and write the JSON if asked; this is rows by the clock, the servers' work included."""
    chosen = options(__doc__, rounds=5).parse_args()
    rounds = 1 if chosen.smoke else chosen.rounds
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder)) as server:
        migrate(server.url())
        with connected(server.url()) as engine:
            Endpoints(engine, EndpointRules(allow_private=True)).add("http://127.0.0.1:9/", new_secret())
            saves = {
                ONE_BY_ONE: lambda batch: one_by_one(engine, batch),
                TOGETHER: lambda batch: add_all(engine, batch),
                OURS: VerdictStore(engine).save,
            }
            tags = itertools.count()
            rows = dict.fromkeys(ROWS, SMOKE_ROWS) if chosen.smoke else ROWS
            costs = in_turn({name: saving(save, rows[name], tags) for name, save in saves.items()}, rounds)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT count(*) FROM verdicts")).scalar_one() == rounds * sum(rows.values())
    slow = costs[ONE_BY_ONE]
    found = []
    for name, measured in costs.items():
        times = Spread.of([mine.per_second / its.per_second for mine, its in zip(measured, slow, strict=True)]) if measured is not slow else None
        rates = Spread.of([cost.per_second for cost in measured])
        found.append(Finding(f"store, {name}", "rows per second", rates, Spread.of([cost.per_second for cost in slow]) if times else None, times))
    report("store", found, chosen)


def saving(save: Callable[[Sequence[Verdict]], object], count: int, tags: Iterator[int]) -> Callable[[], int]:
    """A way of saving so many new verdicts, in batches."""

    def run() -> int:
        tag = next(tags)
        verdicts = [made(f"{tag}-{number}", toxic=number % 10 == 0) for number in range(count)]
        for start in range(0, count, BATCH):
            save(verdicts[start : start + BATCH])
        return count

    return run


def made(id: str, *, toxic: bool) -> Verdict:
    """One verdict; a tenth of them are toxic, and so cause a delivery."""
    post = Post(id, SENTENCE, "forum")
    return Verdict(post, post.key, "backlog", "toxic" if toxic else "safe", 0.5, {}, None, False, "tiny@1", "threshold=0.5", datetime.now(UTC))


def one_by_one(engine: Engine, verdicts: Sequence[Verdict]) -> None:
    """What one writes first: add a row, commit, go on."""
    for verdict in verdicts:
        add_all(engine, [verdict])


def add_all(engine: Engine, verdicts: Sequence[Verdict]) -> None:
    """The ORM with a commit per call; it neither passes over what is there nor writes deliveries."""
    with Session(engine) as session:
        session.add_all(PostRow(**post_fields(verdict)) for verdict in verdicts)
        session.flush()
        session.add_all(VerdictRow(**verdict_fields(verdict)) for verdict in verdicts)
        session.commit()


def post_fields(verdict: Verdict) -> dict[str, object]:
    """The columns of a post."""
    post = verdict.post
    return {
        "key": verdict.key,
        "source": post.source,
        "post_id": post.id,
        "content_hash": post.content_hash,
        "text": post.text,
        "lane": verdict.lane,
        "published_at": verdict.published_at,
    }


def verdict_fields(verdict: Verdict) -> dict[str, object]:
    """The columns of a verdict."""
    return {
        "post_key": verdict.key,
        "label": verdict.label,
        "score": verdict.score,
        "truncated": verdict.truncated,
        "adapter": verdict.adapter,
        "policy": verdict.policy,
    }


if __name__ == "__main__":
    main()

"""What keeping a verdict costs, against a commit per row: python benchmarks/store.py, with a server of its own."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

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

TEXT = "A text of the length that most posts have, some hundred and forty characters long, which is what we found in public data sets of comments."
BATCH = 256
ROUNDS = 5


def main() -> None:
    """Rows per second of each way, the median of several rounds taken in turn."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder)) as server:
        migrate(server.url())
        with connected(server.url()) as engine:
            Endpoints(engine, EndpointRules(allow_private=True)).add("http://127.0.0.1:9/", new_secret())
            store = VerdictStore(engine)
            measured: dict[str, list[float]] = {"ORM, a commit per row": [], "ORM, a commit per batch": [], "VerdictStore.save": []}
            for number in range(ROUNDS):
                measured["ORM, a commit per row"].append(rate(lambda batch: one_by_one(engine, batch), f"a{number}", 128))
                measured["ORM, a commit per batch"].append(rate(lambda batch: add_all(engine, batch), f"b{number}", 20 * BATCH))
                measured["VerdictStore.save"].append(rate(store.save, f"c{number}", 40 * BATCH))
    slowest = statistics.median(measured["ORM, a commit per row"])
    for name, rates in measured.items():
        print(f"{name:<26} {statistics.median(rates):>8,.0f} rows/s  {statistics.median(rates) / slowest:>6.1f} times")


def rate(save: Callable[[Sequence[Verdict]], object], tag: str, count: int) -> float:
    """Rows per second of saving so many, in batches."""
    verdicts = [made(f"{tag}-{number}", toxic=number % 10 == 0) for number in range(count)]
    started = time.perf_counter()
    for start in range(0, count, BATCH):
        save(verdicts[start : start + BATCH])
    return count / (time.perf_counter() - started)


def made(id: str, *, toxic: bool) -> Verdict:
    """One verdict; a tenth of them are toxic, and so cause a delivery."""
    post = Post(id, TEXT, "forum")
    return Verdict(post, post.key, "backlog", "toxic" if toxic else "safe", 0.5, {}, False, "tiny@1", "threshold=0.5", datetime.now(UTC))


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
    sys.exit(main())

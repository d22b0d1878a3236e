"""What the way from the queue to the store costs besides the model, against a Celery task and a commit per post.

python benchmarks/pipeline.py: real workers of both kinds on the same servers, with a classifier that does nothing.
Counted is the CPU time of the workers' processes, from publishing to acknowledgement; that of the servers is told beside it.
"""

from __future__ import annotations

import itertools
import sys

from naive_client import NaiveClient
from report import Finding, options, report
from rounds import Cost, Spread, in_turn, ratio
from stand import TOXIC_EVERY, Stand, made_posts

from modq import Producer

POSTS, NAIVE_POSTS = 100_000, 1_500
SMOKE_POSTS, NAIVE_SMOKE_POSTS = 1_000, 20


def main() -> None:
    """Measure, print, and write the JSON if asked."""
    chosen = options(__doc__, rounds=5).parse_args()
    posts, naive_posts = (SMOKE_POSTS, NAIVE_SMOKE_POSTS) if chosen.smoke else (POSTS, NAIVE_POSTS)
    with Stand() as stand:
        stand.start_modq()
        stand.start_naive()
        bench = Bench(stand)
        bench.naive(10)
        bench.ours(1_000)
        servers: list[tuple[float, float]] = []

        def ours() -> int:
            before = stand.cpu_of_servers()
            bench.ours(posts)
            servers.append(tuple((now - then) / posts * 1e6 for now, then in zip(stand.cpu_of_servers(), before, strict=True)))  # type: ignore[arg-type]
            return posts

        costs = in_turn({"naive": lambda: bench.naive(naive_posts), "ours": ours}, 1 if chosen.smoke else chosen.rounds, stand.cpu_seconds)
        bench.check()
    report("pipeline", findings(costs["ours"], costs["naive"], servers), chosen)


class Bench:
    """Both ways of getting posts through, and the account of what they must have left."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._client = NaiveClient(stand)
        self._tags = itertools.count()
        self._posts = self._toxic = 0

    def naive(self, count: int) -> int:
        """A Celery message, a task and a commit for each."""
        self._note(count)
        return self._client.publish_and_wait(made_posts(count, f"naive-{next(self._tags)}"))

    def ours(self, count: int) -> int:
        """Published in bulk, and judged in batches."""
        self._note(count)
        with Producer(self._stand.valkey.url) as producer:
            producer.submit_many(made_posts(count, f"ours-{next(self._tags)}"), "backlog")
        self._stand.wait_until_drained()
        return count

    def _note(self, count: int) -> None:
        self._posts += count
        self._toxic += -(-count // TOXIC_EVERY)

    def check(self) -> None:
        """Every post has one verdict, and every toxic one its delivery, whichever way it went."""
        kept = {table: self._stand.count(table) for table in ("posts", "verdicts", "deliveries", "dead_letters")}
        expected = {"posts": self._posts, "verdicts": self._posts, "deliveries": self._toxic, "dead_letters": 0}
        if kept != expected:
            sys.exit(f"the store holds {kept}, and should hold {expected}")


def findings(ours: list[Cost], naive: list[Cost], servers: list[tuple[float, float]]) -> list[Finding]:
    """Per second of worker CPU, and what a post costs each process."""
    return [
        Finding("pipeline", "posts per CPU second of the worker", rate(ours), rate(naive), ratio(ours, naive)),
        Finding("worker", "µs of CPU a post", microseconds(ours), microseconds(naive)),
        Finding("Valkey", "µs of CPU a post", Spread.of([valkey for valkey, _ in servers])),
        Finding("Postgres", "µs of CPU a post", Spread.of([postgres for _, postgres in servers])),
        Finding("clock", "posts per second", Spread.of([cost.per_second for cost in ours]), Spread.of([cost.per_second for cost in naive])),
    ]


def rate(costs: list[Cost]) -> Spread:
    """Posts per CPU second."""
    return Spread.of([cost.per_cpu_second for cost in costs])


def microseconds(costs: list[Cost]) -> Spread:
    """CPU microseconds per post."""
    return Spread.of([1e6 / cost.per_cpu_second for cost in costs])


if __name__ == "__main__":
    main()

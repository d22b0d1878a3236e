"""Everything together with the default model: python benchmarks/end_to_end.py.

Ours is the real worker; the yardstick a Celery task, the recipe of the adapter's card and a commit for every post. Counted
is the CPU time of the workers. A third worker, without its model, tells how much of ours is the pipeline.
"""

from __future__ import annotations

import itertools
import sys

from naive_client import NaiveClient
from report import Finding, options, report
from rounds import Cost, Spread, in_turn, ratio
from stand import Stand, like_posts

from modq import Post, Producer

POSTS, NAIVE_POSTS, QUIET_POSTS = 4_000, 300, 50_000
SMOKE_POSTS = 20


def main() -> None:
    """Measure, print, and write the JSON if asked."""
    chosen = options(__doc__, rounds=5).parse_args()
    ours, naive, quiet = (SMOKE_POSTS, SMOKE_POSTS, 2_000) if chosen.smoke else (POSTS, NAIVE_POSTS, QUIET_POSTS)
    rounds = 1 if chosen.smoke else chosen.rounds
    with Stand() as stand:
        bench = Bench(stand)
        # Both workers of modq serve the same lanes: one after the other, so that only one of them is there.
        stand.start_modq("quiet")
        bench.modq(1_000)
        without = in_turn({"quiet": lambda: bench.modq(quiet)}, rounds, stand.cpu_seconds)
        stand.stop("quiet")
        stand.start_modq("modq", quiet=False, MODQ_THREADS="1")
        stand.start_naive(NAIVE_MODEL="card", OMP_NUM_THREADS="1")
        bench.modq(SMOKE_POSTS)
        bench.naive(SMOKE_POSTS)
        costs = in_turn({"naive": lambda: bench.naive(naive), "ours": lambda: bench.modq(ours)}, rounds, stand.cpu_seconds)
        bench.check()
    report("end_to_end", findings(costs["ours"], costs["naive"], without["quiet"]), chosen)


class Bench:
    """Both ways of getting posts through."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._client = NaiveClient(stand)
        self._tags = itertools.count()
        self._posts = 0

    def naive(self, count: int) -> int:
        """A Celery message, a task, a forward pass and a commit for each."""
        return self._client.publish_and_wait(self._made(count))

    def modq(self, count: int) -> int:
        """Published in bulk, to whichever worker of modq there is."""
        with Producer(self._stand.valkey.url) as producer:
            producer.submit_many(self._made(count), "backlog")
        self._stand.wait_until_drained()
        return count

    def _made(self, count: int) -> list[Post]:
        self._posts += count
        tag = next(self._tags)
        return list(like_posts(count, str(tag), seed=tag))

    def check(self) -> None:
        """Every post has one verdict, whichever way it went."""
        kept = {table: self._stand.count(table) for table in ("verdicts", "dead_letters")}
        if kept != {"verdicts": self._posts, "dead_letters": 0}:
            sys.exit(f"the store holds {kept}, and should hold {self._posts} verdicts")


def findings(ours: list[Cost], naive: list[Cost], quiet: list[Cost]) -> list[Finding]:
    """The whole path against the naive one, and the pipeline's share of it."""
    rates = [Spread.of([cost.per_cpu_second for cost in costs]) for costs in (ours, naive, quiet)]
    share = Spread.of([100 * whole.per_cpu_second / without.per_cpu_second for whole, without in zip(ours, quiet, strict=True)])
    return [
        Finding("end to end, MiniLM on a CPU", "posts per CPU second of the worker", rates[0], rates[1], ratio(ours, naive)),
        Finding("without the model", "posts per CPU second of the worker", rates[2]),
        Finding("the pipeline's share of a worker", "% of its CPU", share, headline=True),
    ]


if __name__ == "__main__":
    main()

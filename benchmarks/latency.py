"""How long a live post waits: python benchmarks/latency.py, from the call that publishes it to its acknowledgement, after the commit.

Posts come at random, 50 a second on average, to one real worker with the default model: once with nothing else to do, and
once while it drains a backlog, which must last to the end: how much of it was left is written with the figures. Measure it on a
machine that is otherwise idle: so is the load that it found.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import redis
from report import Finding, options, report
from rounds import Spread
from stand import Stand, like_posts

from modq import Post, Producer
from modq.post import Lane, stream_of
from modq_worker.stream import GROUP

LIVE_POSTS, BACKLOG_POSTS, RATE = 1_000, 1_000_000, 50.0
SMOKE_POSTS, SMOKE_RATE = 50, 200.0


def main() -> None:
    """Measure, print, and write the JSON if asked."""
    parser = options(__doc__, rounds=3)
    parser.add_argument("--backlog", type=int, default=BACKLOG_POSTS, help="posts that wait in the other lane (default: %(default)s)")
    chosen = parser.parse_args()
    posts, rate, backlog = (SMOKE_POSTS, SMOKE_RATE, 5_000) if chosen.smoke else (LIVE_POSTS, RATE, chosen.backlog)
    load_before = os.getloadavg()[0]
    with Stand() as stand:
        stand.start_modq(quiet=chosen.smoke)
        bench = Bench(stand)
        bench.waits(SMOKE_POSTS, rate)
        idle, busy = [], []
        for _ in range(1 if chosen.smoke else chosen.rounds):
            idle.append(bench.waits(posts, rate))
            busy.append(bench.waits_beside(posts, rate, backlog))
        stand.wait_until_drained()
    left = min(beside.left for beside in busy)
    if not left and not chosen.smoke:
        sys.exit("the backlog ran out before the end: make it larger")
    facts = {"load_before": load_before, "backlog": backlog, "backlog_left": left, "posts_per_second": rate}
    report("latency", findings(idle, busy, backlog), chosen, **facts)


@dataclass(frozen=True, slots=True)
class Beside:
    """What a round beside a backlog gave."""

    waits: list[float]
    drained_per_second: float
    """Posts of the backlog that were judged meanwhile."""
    left: int
    """Posts of the backlog that still waited at the end."""


def findings(idle: list[list[float]], busy: list[Beside], backlog: int) -> list[Finding]:
    """The middle and the slow end of each, a round each."""
    found = [Finding(f"of the backlog of {backlog:,}, judged meanwhile", "posts/s", Spread.of([beside.drained_per_second for beside in busy]))]
    for name, centile in (("p50", 50), ("p99", 99)):
        alone, beside = ([percentile(waits, centile) for waits in each] for each in (idle, [beside.waits for beside in busy]))
        found.append(Finding(f"live latency {name}, nothing else to do", "ms", Spread.of(alone), headline=True))
        found.append(Finding(f"live latency {name}, beside a backlog of {backlog:,}", "ms", Spread.of(beside), headline=True))
        found.append(Finding(f"{name}, beside a backlog against without", "times", Spread.of([b / a for a, b in zip(alone, beside, strict=True)])))
    return found


def percentile(waits: Sequence[float], centile: int) -> float:
    """In milliseconds."""
    return statistics.quantiles(waits, n=100, method="inclusive")[centile - 1] * 1000


class Bench:
    """Publishes live posts and sees when each leaves the queue."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._seeds = count()

    def waits(self, posts: int, rate: float) -> list[float]:
        """Seconds that each of so many live posts waited."""
        published: dict[str, float] = {}
        with Leaving(self._stand.valkey.url) as leaving, Producer(self._stand.valkey.url) as producer:
            for post, pause in arrivals(posts, rate, next(self._seeds)):
                time.sleep(pause)
                began = time.time()
                published[producer.submit(post)] = began
            self._stand.wait_until(lambda: len(leaving.left) >= posts, "live posts", 60)
        if published.keys() != leaving.left.keys():
            sys.exit("what left the queue is not what was published")
        return [leaving.left[id] - began for id, began in published.items()]

    def waits_beside(self, posts: int, rate: float, backlog: int) -> Beside:
        """The same while the worker drains a backlog, of which nothing is left afterwards."""
        self._pile_up(backlog)
        before, began = self._waiting("backlog"), time.perf_counter()
        waits = self.waits(posts, rate)
        left, seconds = self._waiting("backlog"), time.perf_counter() - began
        self._clear()
        return Beside(waits, (before - left) / seconds, left)

    def _pile_up(self, posts: int) -> None:
        """Fill the other lane, and see that the worker is at it."""
        seed = next(self._seeds)
        with Producer(self._stand.valkey.url) as producer:
            producer.submit_many(like_posts(posts, f"backlog-{seed}", seed), "backlog")
        waiting = self._waiting("backlog")
        self._stand.wait_until(lambda: self._waiting("backlog") < waiting, "the backlog", 60)
        # After so much was published Valkey writes its file anew, which is no part of draining.
        self._stand.wait_until(lambda: not self._stand.redis.info("persistence")["aof_rewrite_in_progress"], "Valkey's file", 120)

    def _clear(self) -> None:
        """Take away what is left of the backlog, and see that the worker is through with what it had taken of it."""
        self._stand.redis.xtrim(stream_of("backlog"), maxlen=0, approximate=False)
        self._stand.wait_until(lambda: not self._stand.redis.xpending(stream_of("backlog"), GROUP)["pending"], "the last batch", 60)

    def _waiting(self, lane: Lane) -> int:
        return int(self._stand.redis.xlen(stream_of(lane)))


def arrivals(posts: int, rate: float, seed: int) -> Iterator[tuple[Post, float]]:
    """Posts, each with the seconds since the last: independent of one another, as people are."""
    chance = random.Random(seed)
    for post in like_posts(posts, f"live-{seed}", seed):
        yield post, chance.expovariate(rate)


class Leaving(threading.Thread):
    """Notes the moment at which each entry of the live lane leaves the queue, which is right after the commit."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.left: dict[str, float] = {}
        self._redis = redis.Redis.from_url(url)
        self._over = False

    def __enter__(self) -> Leaving:
        self._monitor = self._redis.monitor()
        self._monitor.__enter__()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._redis.ping()
        self.join()
        self._monitor.__exit__(None, None, None)
        self._redis.close()

    def run(self) -> None:
        """Read what the server was told to do, until told to end; not to be called."""
        while not self._over:
            told = self._monitor.next_command()
            name, *words = str(told["command"]).split(" ")
            if name.upper() == "XDEL" and words[0] == stream_of("live"):
                self.left.update(dict.fromkeys(words[1:], told["time"]))


if __name__ == "__main__":
    main()

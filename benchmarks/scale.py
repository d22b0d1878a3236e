"""What changes as work grows: python benchmarks/scale.py, through the real servers and workers, with a model that does nothing.

First the same posts with one, two and four workers; then ten thousand posts, a hundred thousand and a million with one.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass

from report import Finding, options, report
from rounds import Spread
from stand import Stand, made_posts

from modq import Producer

WORKERS, POSTS = (1, 2, 4), 100_000
SIZES = (10_000, 100_000, 1_000_000)
SMOKE_POSTS = 2_000


@dataclass(frozen=True, slots=True)
class Stage:
    """What one amount of work took; CPU in microseconds a post, memory in megabytes, both with all processes of their kind."""

    workers: int
    posts: int
    publishing_per_second: float
    draining_per_second: float
    worker_cpu: float
    valkey_cpu: float
    postgres_cpu: float
    worker_memory: float
    valkey_memory: float
    """With every post waiting."""
    valkey_memory_after: float
    postgres_memory: float
    store_bytes: float
    """On disk, a post: tables and indexes."""
    wal_bytes: float
    """Written ahead, a post: what a standby receives."""


def main() -> None:
    """Measure, print, and write the JSON if asked."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--posts", type=int, default=SIZES[-1], help="the largest amount of work (default: %(default)s)")
    chosen = parser.parse_args()
    sizes = () if chosen.smoke else [size for size in SIZES if size <= chosen.posts]
    several, posts = (WORKERS[:2], SMOKE_POSTS) if chosen.smoke else (WORKERS, POSTS)
    side_by_side = [told(stage(workers, posts)) for _ in range(chosen.rounds) for workers in several]
    growing = [told(stage(1, size)) for _ in range(chosen.rounds) for size in sizes]
    facts = {"side_by_side": list(map(asdict, side_by_side)), "growing": list(map(asdict, growing))}
    report("scale", [*efficiency(side_by_side), *flatness(growing)], chosen, **facts)


def told(stage: Stage) -> Stage:
    """Print it, since the next one may take minutes."""
    print("  ".join(f"{name} {value:,.0f}" for name, value in asdict(stage).items()), flush=True)
    return stage


def stage(workers: int, posts: int) -> Stage:
    """Publish so many posts, then let so many workers drain them, on fresh servers."""
    with Stand() as stand:
        wal = stand.query("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
        began = time.perf_counter()
        with Producer(stand.valkey.url) as producer:
            producer.submit_many(made_posts(posts, "post"), "backlog")
        published = time.perf_counter() - began
        full = stand.memory()
        names = [f"worker-{number}" for number in range(workers)]
        for name in names:
            stand.start_modq(name, wait=False)
        stand.wait_until(lambda: stand.waiting() < posts, "the workers")
        # From here, since starting Python and Celery is no part of it.
        left, cpu, servers, began = stand.waiting(), stand.cpu_seconds(), stand.cpu_of_servers(), time.perf_counter()
        stand.wait_until(lambda: stand.waiting() < left / 20, "the workers", seconds=3600)
        taken = time.perf_counter() - began
        done = left - stand.waiting()
        spent = (stand.cpu_seconds() - cpu, *(now - then for now, then in zip(stand.cpu_of_servers(), servers, strict=True)))
        # Never nothing, which the clock of processes says of less than one of its steps.
        each = [max(cost, 0.01) / done * 1e6 for cost in spent]
        stand.wait_until_drained()
        stand.check(posts)
        memory = {name: held / 2**20 for name, held in stand.memory().items()}
        return Stage(
            workers,
            posts,
            posts / published,
            done / taken,
            *each,
            worker_memory=max(memory[name] for name in names),
            valkey_memory=full["valkey"] / 2**20,
            valkey_memory_after=memory["valkey"],
            postgres_memory=memory["postgres"],
            store_bytes=stand.query("SELECT pg_database_size(current_database())") / posts,
            wal_bytes=(stand.query("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')") - wal) / posts,
        )


def efficiency(stages: list[Stage]) -> list[Finding]:
    """What several workers do together, and what each spends on a post against one that is alone."""
    alone = [stage for stage in stages if stage.workers == 1]
    found = []
    for workers in sorted({stage.workers for stage in stages}):
        some = [stage for stage in stages if stage.workers == workers]
        found.append(Finding(f"{workers} worker(s)", "posts per second", Spread.of([stage.draining_per_second for stage in some])))
        found.append(
            Finding(f"{workers} worker(s), against the model of docs/capacity.md", "times", Spread.of([share_of_model(stage) for stage in some]))
        )
        found.append(
            Finding(
                f"{workers} worker(s), posts per CPU second against one",
                "times",
                Spread.of([one.worker_cpu / stage.worker_cpu for one, stage in zip(alone, some, strict=True)]),
            )
        )
    return found


def share_of_model(stage: Stage) -> float:
    """What was measured against what the costs of one post predict for a machine on which all of it runs."""
    return stage.draining_per_second / predicted(stage, os.cpu_count() or 1)


def predicted(stage: Stage, cores: int) -> float:
    """Posts per second: no process can be in two places, Valkey has one thread, and all share the cores."""
    spent = (stage.worker_cpu / stage.workers, stage.valkey_cpu, (stage.worker_cpu + stage.valkey_cpu + stage.postgres_cpu) / cores)
    return 1e6 / max(spent)


def flatness(stages: list[Stage]) -> list[Finding]:
    """What a post costs in the largest amount of work, and the worker's memory."""
    found = []
    for posts in sorted({stage.posts for stage in stages}):
        some = [stage for stage in stages if stage.posts == posts]
        for name, unit in (
            ("draining_per_second", "posts per second"),
            ("worker_cpu", "µs a post"),
            ("worker_memory", "MB"),
        ):
            found.append(Finding(f"{posts:,} posts, {name.replace('_', ' ')}", unit, Spread.of([getattr(stage, name) for stage in some])))
    return found


if __name__ == "__main__":
    main()

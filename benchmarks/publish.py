"""What publishing costs the site: python benchmarks/publish.py, against a Celery message per post, on a server of its own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from celery import Celery
from report import Finding, options, report
from rounds import Cost, Spread, in_turn, ratio
from stand import made_posts

from modq import AsyncProducer, Post, Producer
from modq.post import stream_of
from modq_worker.stream import connect
from modq_worker.valkey_server import ValkeyServer

POSTS, SINGLE_POSTS, SMOKE_POSTS = 50_000, 2_000, 200


def main() -> None:
    """Measure, print, and write the JSON if asked."""
    chosen = options(__doc__, rounds=5).parse_args()
    many = list(made_posts(SMOKE_POSTS if chosen.smoke else POSTS, "post"))
    few = many[: SMOKE_POSTS if chosen.smoke else SINGLE_POSTS]
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(Path(folder)) as server, Producer(server.url) as producer:
        naive = Celery(broker=server.url)
        ways = {
            "a Celery message": lambda: published_naively(naive, few),
            "submit_many": lambda: producer.submit_many(many, "backlog"),
            "submit": lambda: len([producer.submit(post, "backlog") for post in few]),
            "AsyncProducer.submit_many": lambda: asyncio.run(published(server.url, many)),
        }
        for way in ways.values():
            way()
        rounds = 1 if chosen.smoke else chosen.rounds
        costs = in_turn(ways, rounds)
        assert connect(server.url).xlen(stream_of("backlog")) == (rounds + 1) * (2 * len(many) + len(few))
    yardstick = costs.pop("a Celery message")
    found = [
        Finding(f"publishing, {name}", "µs of CPU a post", microseconds(cost), microseconds(yardstick), ratio(cost, yardstick))
        for name, cost in costs.items()
    ]
    report("publish", found, chosen)


def published_naively(celery: Celery, posts: Sequence[Post]) -> int:
    """One message after the other, each with its post."""
    for post in posts:
        celery.send_task("naive.judge", [{"id": post.id, "text": post.text, "source": post.source, "author": post.author}])
    return len(posts)


async def published(url: str, posts: Sequence[Post]) -> int:
    """All of them, from one asyncio task."""
    async with AsyncProducer(url) as producer:
        return await producer.submit_many(posts, "backlog")


def microseconds(costs: Sequence[Cost]) -> Spread:
    """CPU microseconds per post."""
    return Spread.of([1e6 / cost.per_cpu_second for cost in costs])


if __name__ == "__main__":
    main()

"""What publishing costs the site: python benchmarks/publish.py, with a server of its own."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from modq import AsyncProducer, Post, Producer
from modq_worker.valkey_server import ValkeyServer

POSTS = 50_000
TEXT = "A text of the length that most posts have, some hundred and forty characters long, which is what we found in public data sets of comments."


def main() -> None:
    """Microseconds per post, of this process's CPU and of the clock."""
    posts = [Post(id=str(i), text=TEXT, source="forum") for i in range(POSTS)]
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(Path(folder)) as server:
        with Producer(server.url) as producer:
            producer.ping()
            report("submit_many", POSTS, lambda: producer.submit_many(posts, "backlog"))
            report("submit", POSTS // 10, lambda: [producer.submit(post, "backlog") for post in posts[: POSTS // 10]])
        report("AsyncProducer.submit_many", POSTS, lambda: asyncio.run(publish(server.url, posts)))


async def publish(url: str, posts: list[Post]) -> None:
    """All of them, from one task."""
    async with AsyncProducer(url) as producer:
        await producer.submit_many(posts, "backlog")


def report(name: str, count: int, work: Callable[[], object]) -> None:
    """Run it once and print what it cost."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(f"{name:<26} {cpu / count * 1e6:6.1f} µs CPU  {clock / count * 1e6:6.1f} µs per post")


if __name__ == "__main__":
    sys.exit(main())

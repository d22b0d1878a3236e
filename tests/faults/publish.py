"""A producer process that publishes at a rate, tries again as the errors say, and writes down what was confirmed.

    python -m tests.faults.publish COUNT RATE FILE [LANE]

Every tenth post is toxic. A line of FILE is the id of a post that the queue confirmed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from modq import Post, Producer
from modq.errors import QueueError


def publish(count: int, rate: float, file: Path, lane: str) -> None:
    prefix = f"{lane}-{os.getpid()}"
    with Producer(os.environ["MODQ_REDIS_URL"]) as producer, file.open("w", buffering=1) as confirmed:
        begin = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            post = Post(f"{prefix}-{number}", f"{'toxic' if number % 10 == 0 else 'kind'} words number {number}")
            until_confirmed(producer, post, lane)
            confirmed.write(post.id + "\n")


def until_confirmed(producer: Producer, post: Post, lane: str) -> None:
    while True:
        try:
            producer.submit(post, lane=lane)
            return
        except QueueError as error:
            if not error.retryable:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    publish(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), (sys.argv[4:] or ["live"])[0])

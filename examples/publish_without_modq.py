"""Publish posts with nothing but redis-py: python publish_without_modq.py ID TEXT."""

import json
import os
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ATTEMPTS = 3


def publish(client: redis.Redis, post: dict[str, object]) -> str:
    """Publish one post and return its entry id; sent again while nobody knows whether it arrived."""
    entry = {"post": json.dumps(post)}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return client.xadd("modq:posts:live", entry).decode()
        except (redis.ConnectionError, redis.TimeoutError):
            # The same id and text: should the first attempt have arrived after all, the post is still judged once.
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.1 * attempt)
    raise AssertionError("unreachable")


def main() -> None:
    """Publish the post that the command line gives."""
    url = os.environ.get("MODQ_REDIS_URL", "redis://localhost:6379/0")
    # redis-py's own retries would come on top of ours, and without a time-out it waits for ever.
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
        print("on the queue as", publish(client, {"id": sys.argv[1], "text": sys.argv[2], "source": "forum"}))


if __name__ == "__main__":
    main()

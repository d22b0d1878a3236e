"""How a site publishes to the yardstick: one Celery message per post, with its text."""

from __future__ import annotations

import os
from collections.abc import Iterable

from stand import Stand

from modq import Post


class NaiveClient:
    """Publishes to the naive worker of a stand."""

    def __init__(self, stand: Stand) -> None:
        # The yardstick's module is configured by its environment, here as in its worker.
        os.environ["MODQ_REDIS_URL"] = stand.valkey.url
        os.environ["MODQ_DATABASE_URL"] = stand.postgres.url()
        import naive_worker

        self._judge = naive_worker.judge
        self._stand = stand

    def publish(self, posts: Iterable[Post]) -> None:
        """One message after the other."""
        for post in posts:
            self._judge.delay({"id": post.id, "text": post.text, "source": post.source, "author": post.author})

    def publish_and_wait(self, posts: Iterable[Post]) -> int:
        """Publish them, and wait until each has its row; returns how many."""
        before = self._stand.count("verdicts")
        published = list(posts)
        self.publish(published)
        self._stand.wait_until(lambda: self._stand.count("verdicts") - before >= len(published), "the naive worker")
        return len(published)

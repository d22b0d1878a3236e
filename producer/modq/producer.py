"""Publish posts: what ``submit`` returns from is on the queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from redis import ConnectionPool
from redis.exceptions import RedisError, ResponseError

from modq.batch import Batch, Filling, encoded
from modq.errors import QueueError
from modq.post import Lane, Post
from modq.queue_errors import explain, refused_url
from modq.queue_url import place, queue_url


class Producer:
    """A publisher of posts; threads may share one.

    Args:
        redis_url: Where the queue is; by default ``MODQ_REDIS_URL``, else the ``modq up`` of this folder, else localhost.
        timeout: Seconds to wait for a connection, and for an answer, in one attempt.
        attempts: How often a post is sent when the queue does not confirm it. That is safe:
            a post that arrives twice is judged once.

    Raises:
        QueueRefused: the URL is none of a queue.
    """

    def __init__(self, redis_url: str | None = None, *, timeout: float = 2.0, attempts: int = 3) -> None:
        url = queue_url(redis_url)
        self._place = place(url)
        self._attempts = attempts
        try:
            # A bare pool: redis.Redis would send a command again by itself, out of our count of attempts.
            self._pool = ConnectionPool.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, protocol=2)
            # Unknown options would else be found on connecting; this connects to nothing.
            self._pool.connection_class(**self._pool.connection_kwargs)
        except (ValueError, TypeError):
            raise refused_url() from None

    def submit(self, post: Post, lane: Lane = "live") -> str:
        """Publish one post; when this returns, the queue has confirmed it.

        Returns:
            The id of the entry on the lane's stream.

        Raises:
            QueueUnavailable: no confirmation in time; the post may be on the queue. Retrying is safe.
            QueueFull: the queue has no memory left.
            QueueRefused: credentials, rights or the queue itself are wrong.
            InvalidPost: there is no such lane.
        """
        batch = self._batch(lane, [encoded(post)])
        self._publish(batch)
        return batch.last_id

    def submit_many(self, posts: Iterable[Post], lane: Lane = "live", batch: int = 500, on_confirmed: Callable[[int], None] | None = None) -> int:
        """Publish any number of posts in few round trips; memory holds one batch at a time.

        Args:
            posts: An error that it raises ends the run; the posts since the last full batch are then not published.
            batch: Most posts of one round trip.
            on_confirmed: Called after each batch with the number of posts confirmed so far.

        Returns:
            The number of posts, all confirmed.

        Raises:
            QueueError: as ``submit``; its ``confirmed`` tells how many posts, from the first on, the queue has for certain.
        """
        confirmed = 0
        for full in _batches(posts, batch):
            confirmed += self._publish_many(self._batch(lane, full), confirmed)
            if on_confirmed:
                on_confirmed(confirmed)
        return confirmed

    def ping(self) -> None:
        """Return if the queue answers.

        Raises:
            QueueError: it does not.
        """
        try:
            connection: Any = self._pool.get_connection()
            try:
                connection.send_command("PING")
                connection.read_response()
            finally:
                self._pool.release(connection)
        except (RedisError, OSError) as error:
            raise explain(error, self._place) from None

    def close(self) -> None:
        """Close the connections; posts confirmed before are safe, and a later call connects anew."""
        self._pool.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _batch(self, lane: Lane, entries: list[bytes]) -> Batch:
        return Batch(lane, entries, attempts=self._attempts, place=self._place)

    def _publish_many(self, batch: Batch, earlier: int) -> int:
        try:
            self._publish(batch)
        except QueueError as error:
            error.confirmed = earlier + batch.confirmed
            raise
        return batch.confirmed

    def _publish(self, batch: Batch) -> None:
        while not batch.done:
            try:
                self._attempt(batch)
            except (RedisError, OSError) as error:
                time.sleep(batch.pause_after(error))

    def _attempt(self, batch: Batch) -> None:
        connection: Any = self._pool.get_connection()
        try:
            connection.send_packed_command([batch.commands()])
            _read_replies(connection, batch)
        except BaseException:
            # Replies may be under way, which the next user of the connection would take for its own;
            # and a primary that became a replica is left only by a new connection.
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)


def _read_replies(connection: Any, batch: Batch) -> None:
    failure: ResponseError | None = None
    for index in batch.waiting():
        try:
            batch.confirm(index, connection.read_response(disable_decoding=True))
        except ResponseError as error:
            # The commands after it may have succeeded: read on, so that only this one is sent again.
            failure = failure or error
    if failure is not None:
        raise failure


def _batches(posts: Iterable[Post], size: int) -> Iterable[list[bytes]]:
    filling = Filling(size)
    for post in posts:
        if full := filling.add(post):
            yield full
    if rest := filling.rest():
        yield rest

"""Publish posts from asyncio: the twin of ``Producer``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Self

from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError, ResponseError

from modq.batch import Batch, Filling, encoded
from modq.errors import QueueError
from modq.post import Lane, Post
from modq.queue_errors import explain, refused_url
from modq.queue_url import place, queue_url


class AsyncProducer:
    """As ``Producer``, for the tasks of one event loop; a cancelled call may or may not have published its post."""

    def __init__(self, redis_url: str | None = None, *, timeout: float = 2.0, attempts: int = 3) -> None:
        url = queue_url(redis_url)
        self._place = place(url)
        self._attempts = attempts
        try:
            self._pool: Any = ConnectionPool.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, protocol=2)
            # Unknown options would else be found on connecting; this connects to nothing.
            self._pool.connection_class(**self._pool.connection_kwargs)
        except (ValueError, TypeError):
            raise refused_url() from None

    async def submit(self, post: Post, lane: Lane = "live") -> str:
        """As ``Producer.submit``."""
        batch = self._batch(lane, [encoded(post)])
        await self._publish(batch)
        return batch.last_id

    async def submit_many(
        self,
        posts: Iterable[Post] | AsyncIterable[Post],
        lane: Lane = "live",
        batch: int = 500,
        on_confirmed: Callable[[int], None] | None = None,
    ) -> int:
        """As ``Producer.submit_many``; ``posts`` may also be asynchronous."""
        confirmed = 0
        async for full in _batches(posts, batch):
            confirmed += await self._publish_many(self._batch(lane, full), confirmed)
            if on_confirmed:
                on_confirmed(confirmed)
        return confirmed

    async def ping(self) -> None:
        """As ``Producer.ping``."""
        try:
            connection = await self._pool.get_connection()
            try:
                await connection.send_command("PING")
                await connection.read_response()
            finally:
                await self._pool.release(connection)
        except (RedisError, OSError) as error:
            raise explain(error, self._place) from None

    async def close(self) -> None:
        """As ``Producer.close``."""
        await self._pool.disconnect()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def _batch(self, lane: Lane, entries: list[bytes]) -> Batch:
        return Batch(lane, entries, attempts=self._attempts, place=self._place)

    async def _publish_many(self, batch: Batch, earlier: int) -> int:
        try:
            await self._publish(batch)
        except QueueError as error:
            error.confirmed = earlier + batch.confirmed
            raise
        return batch.confirmed

    async def _publish(self, batch: Batch) -> None:
        while not batch.done:
            try:
                await self._attempt(batch)
            except (RedisError, OSError) as error:
                await asyncio.sleep(batch.pause_after(error))

    async def _attempt(self, batch: Batch) -> None:
        connection = await self._pool.get_connection()
        try:
            await connection.send_packed_command(batch.commands())
            await _read_replies(connection, batch)
        except BaseException:
            # As in Producer: no reply for the next user, and no staying with a replica.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)


async def _read_replies(connection: Any, batch: Batch) -> None:
    failure: ResponseError | None = None
    for index in batch.waiting():
        try:
            batch.confirm(index, await connection.read_response(disable_decoding=True))
        except ResponseError as error:
            # The commands after it may have succeeded: read on, so that only this one is sent again.
            failure = failure or error
    if failure is not None:
        raise failure


async def _batches(posts: Iterable[Post] | AsyncIterable[Post], size: int) -> AsyncIterator[list[bytes]]:
    filling = Filling(size)
    if isinstance(posts, AsyncIterable):
        async for post in posts:
            if full := filling.add(post):
                yield full
    else:
        for post in posts:
            if full := filling.add(post):
                yield full
    if rest := filling.rest():
        yield rest

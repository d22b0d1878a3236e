"""The asyncio twin keeps the promises of Producer."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
from redis import Redis
from tests.producer.conftest import Wire

from modq import AsyncProducer, Post, QueueFull, QueueRefused, QueueUnavailable

Queued = Callable[..., list[Post]]
POST = Post(id="42", text="hello", source="forum")

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_submitted_post_is_on_its_lane(redis_url: str, redis: Redis, queued: Queued) -> None:
    async with AsyncProducer(redis_url) as producer:
        entry_id = await producer.submit(POST, lane="backlog")

    assert [i.decode() for i, _ in redis.xrange("modq:posts:backlog")] == [entry_id]
    assert queued("backlog") == [POST]


async def test_many_posts_come_from_any_iterable(redis_url: str, redis: Redis, queued: Queued) -> None:
    posts = [Post(id=str(i), text=f"text {i}") for i in range(120)]

    async def streamed() -> AsyncIterator[Post]:
        for post in posts[60:]:
            await asyncio.sleep(0)
            yield post

    told: list[int] = []
    async with AsyncProducer(redis_url) as producer:
        assert await producer.submit_many(posts[:60], batch=50, on_confirmed=told.append) == 60
        assert await producer.submit_many(streamed(), batch=50, on_confirmed=told.append) == 60

    assert queued() == posts
    assert told == [50, 60, 50, 60]


async def test_many_tasks_may_share_a_producer(redis_url: str, redis: Redis, queued: Queued) -> None:
    async with AsyncProducer(redis_url) as producer:
        ids = await asyncio.gather(*(producer.submit(Post(id=str(i), text="hello")) for i in range(100)))

    assert len(set(ids)) == 100
    assert {post.id for post in queued()} == {str(i) for i in range(100)}


async def test_only_the_unconfirmed_posts_of_a_broken_batch_are_sent_again(wire: Wire, wire_url: str, queued: Queued) -> None:
    posts = [Post(id=str(i), text="hello") for i in range(100)]
    async with AsyncProducer(wire_url) as producer:
        await producer.ping()
        wire.lets_through = 1000
        assert await producer.submit_many(posts) == 100

    times = Counter(post.id for post in queued())
    assert times.keys() == {str(i) for i in range(100)}
    assert 30 < sum(count == 1 for count in times.values()) < 60


async def test_only_the_refused_post_of_a_batch_is_sent_again(wire: Wire, wire_url: str, queued: Queued) -> None:
    async with AsyncProducer(wire_url) as producer:
        await producer.ping()
        wire.forged = b"-READONLY You can't write against a replica\r\n"
        assert await producer.submit_many([Post(id=str(i), text="hello") for i in range(100)]) == 100

    assert Counter(post.id for post in queued()) == Counter(str(i) for i in range(100)) + Counter("0")
    assert wire.connections == 2


async def test_a_server_that_never_answers_is_told_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.timeout(3), AsyncProducer(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", timeout=0.2, attempts=2) as producer:
            with pytest.raises(QueueUnavailable):
                await producer.submit(POST)


async def test_a_cancelled_call_leaves_no_answer_for_the_next(redis_url: str, redis: Redis) -> None:
    posts = [Post(id=str(i), text="hello " * 50) for i in range(500)]
    async with AsyncProducer(redis_url) as producer:
        await producer.ping()
        for moment in (0.0, 0.001, 0.002, 0.004):
            call = asyncio.create_task(producer.submit_many(posts))
            await asyncio.sleep(moment)
            call.cancel()
            await asyncio.wait([call])
            last = await producer.submit(POST)
            assert redis.xrevrange("modq:posts:live", count=1)[0][0].decode() == last


async def test_a_full_queue_tells_what_is_confirmed(redis_url: str, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        async with AsyncProducer(redis_url) as producer:
            with pytest.raises(QueueFull) as told:
                await producer.submit_many([POST] * 3)
    finally:
        redis.config_set("maxmemory", 0)

    assert told.value.confirmed == 0


async def test_wrong_credentials_and_wrong_urls_are_refused(redis_url: str, redis: Redis) -> None:
    with pytest.raises(QueueRefused):
        AsyncProducer("http://localhost")
    async with AsyncProducer(redis_url.replace("default:", "default:wrong")) as producer:
        with pytest.raises(QueueRefused):
            await producer.submit(POST)
        with pytest.raises(QueueRefused):
            await producer.ping()

"""What submit returns from is on the queue."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from modq import InvalidPost, Post, Producer

Queued = Callable[..., list[Post]]


def test_a_submitted_post_is_on_its_lane_under_the_id_that_submit_returns(redis_url: str, redis: Redis, queued: Queued) -> None:
    post = Post(id="42", text="hello", source="forum", author="ada", metadata={"board": 7})

    with Producer(redis_url) as producer:
        entry_id = producer.submit(post, lane="backlog")

    assert [i.decode() for i, _ in redis.xrange("modq:posts:backlog")] == [entry_id]
    assert queued("backlog") == [post]
    assert queued("live") == []


def test_many_posts_arrive_once_each_and_in_their_order(redis_url: str, redis: Redis, queued: Queued) -> None:
    posts = [Post(id=str(i), text=f"text {i}") for i in range(1234)]
    told: list[int] = []

    with Producer(redis_url) as producer:
        assert producer.submit_many(posts, batch=500, on_confirmed=told.append) == 1234

    assert queued() == posts
    assert told == [500, 1000, 1234]


def test_no_posts_are_no_work(redis_url: str, redis: Redis) -> None:
    with Producer(redis_url) as producer:
        assert producer.submit_many([]) == 0


def test_any_number_of_posts_takes_the_memory_of_one_batch(redis_url: str, redis: Redis) -> None:
    def posts() -> Iterator[Post]:
        for i in range(20_000):
            yield Post(id=str(i), text=f"{i} " * 200)

    with Producer(redis_url) as producer:
        producer.submit(Post(id="warm", text="up"))
        tracemalloc.start()
        try:
            assert producer.submit_many(posts()) == 20_000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert redis.xlen("modq:posts:live") == 20_001
    # All texts together have 22 million characters.
    assert peak < 4_000_000


def test_long_posts_are_sent_in_small_batches(redis_url: str, redis: Redis) -> None:
    told: list[int] = []
    with Producer(redis_url) as producer:
        producer.submit_many((Post(id=str(i), text="a" * 100_000) for i in range(30)), on_confirmed=told.append)

    assert len(told) >= 3
    assert told[-1] == 30


def test_an_error_of_the_iterable_leaves_the_confirmed_batches_confirmed(redis_url: str, redis: Redis) -> None:
    def posts() -> Iterator[Post]:
        for i in range(25):
            yield Post(id=str(i), text="hello")
        raise LookupError

    told: list[int] = []
    with Producer(redis_url) as producer, pytest.raises(LookupError):
        producer.submit_many(posts(), batch=10, on_confirmed=told.append)

    assert told == [10, 20]
    assert redis.xlen("modq:posts:live") == 20


def test_an_unknown_lane_is_refused_before_anything_is_sent(redis_url: str, redis: Redis) -> None:
    with Producer(redis_url) as producer:
        with pytest.raises(InvalidPost):
            producer.submit(Post(id="1", text="hello"), lane="fast")  # type: ignore[arg-type]
        with pytest.raises(InvalidPost):
            producer.submit_many([Post(id="1", text="hello")], lane="fast")  # type: ignore[arg-type]
    assert redis.keys() == []


def test_what_is_no_post_is_refused_as_such(redis_url: str, redis: Redis) -> None:
    with Producer(redis_url) as producer, pytest.raises(TypeError, match=r"modq\.Post, not dict"):
        producer.submit({"id": "1", "text": "hello"})  # type: ignore[arg-type]


def test_threads_may_share_a_producer(redis_url: str, redis: Redis, queued: Queued) -> None:
    with Producer(redis_url) as producer, ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda i: producer.submit(Post(id=str(i), text=f"text {i}")), range(400)))

    assert len(ids) == 400
    assert {post.id for post in queued()} == {str(i) for i in range(400)}


def test_a_producer_survives_the_fork_of_a_web_server(redis_url: str, redis: Redis, queued: Queued) -> None:
    code = """if True:
        import os, sys
        from modq import Post, Producer
        producer = Producer(sys.argv[1])
        producer.submit(Post(id="before", text="a"))
        child = os.fork()
        for i in range(50):
            producer.submit(Post(id=f"{'parent' if child else 'child'}-{i}", text="a"))
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-c", code, redis_url], check=True, timeout=60)

    assert sorted(post.id for post in queued()) == sorted(["before", *(f"{who}-{i}" for who in ("parent", "child") for i in range(50))])


def test_a_closed_producer_connects_anew(redis_url: str, redis: Redis) -> None:
    producer = Producer(redis_url)
    producer.submit(Post(id="1", text="a"))
    producer.close()
    producer.submit(Post(id="2", text="a"))
    producer.close()

    assert redis.xlen("modq:posts:live") == 2

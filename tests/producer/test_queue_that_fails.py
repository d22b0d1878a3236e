"""What a producer does when the queue is away, full, closed to it, or loses its answer."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from tests.producer.conftest import Wire

from modq import Post, Producer, QueueError, QueueFull, QueueRefused, QueueUnavailable
from modq_worker.valkey_server import ValkeyServer

Queued = Callable[..., list[Post]]

SECRET = "the words of the user"
POST = Post(id="42", text=SECRET)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def as_user(redis_url: str, user: str, password: str) -> str:
    parts = urlsplit(redis_url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()


def test_a_server_that_is_down_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    began = time.monotonic()

    with Producer(f"redis://:password@127.0.0.1:{port}/0") as producer, pytest.raises(QueueUnavailable) as told:
        producer.submit(POST)

    assert time.monotonic() - began < 2
    assert told.value.retryable
    assert f"127.0.0.1:{port}" in str(told.value)
    assert "password" not in str(told.value)


def test_a_server_that_never_answers_is_told_within_the_time_outs(silent_url: str) -> None:
    began = time.monotonic()

    with Producer(silent_url, timeout=0.2, attempts=2) as producer, pytest.raises(QueueUnavailable):
        producer.submit(POST)

    assert 0.3 < time.monotonic() - began < 2


def test_a_post_whose_confirmation_is_lost_is_sent_again_unchanged(wire: Wire, wire_url: str, queued: Queued) -> None:
    with Producer(wire_url) as producer:
        producer.ping()
        wire.lets_through = 0
        producer.submit(POST)

    # Both arrived; one id and one text make them one verdict.
    assert queued() == [POST, POST]
    assert wire.connections == 2


def test_without_attempts_left_a_lost_confirmation_is_told(wire: Wire, wire_url: str, queued: Queued) -> None:
    with Producer(wire_url, attempts=1) as producer:
        producer.ping()
        wire.lets_through = 0
        with pytest.raises(QueueUnavailable):
            producer.submit(POST)

    assert queued() == [POST]


def test_of_a_batch_whose_connection_breaks_only_the_unconfirmed_posts_are_sent_again(wire: Wire, wire_url: str, queued: Queued) -> None:
    posts = [Post(id=str(i), text="hello") for i in range(100)]
    with Producer(wire_url) as producer:
        producer.ping()
        # An answer has 22 bytes with an id such as 1769860800000-0, so some forty arrive.
        wire.lets_through = 1000
        assert producer.submit_many(posts, batch=100) == 100

    times = Counter(post.id for post in queued())
    assert times.keys() == {str(i) for i in range(100)}
    once = [i for i in range(100) if times[str(i)] == 1]
    assert once == list(range(len(once)))
    assert 30 < len(once) < 60


@pytest.mark.parametrize("refusal", [b"-OOM command not allowed\r\n", b"-READONLY You can't write against a replica\r\n"])
def test_of_a_batch_of_which_one_post_was_refused_only_that_one_is_sent_again(wire: Wire, wire_url: str, queued: Queued, refusal: bytes) -> None:
    posts = [Post(id=str(i), text="hello") for i in range(100)]
    with Producer(wire_url) as producer:
        producer.ping()
        wire.forged = refusal
        assert producer.submit_many(posts) == 100

    # The server took the first after all; that is the wire's doing.
    assert Counter(post.id for post in queued()) == Counter(str(i) for i in range(100)) + Counter("0")
    # A primary that has become a replica is not asked again over the same connection.
    assert wire.connections == 2


def test_an_idle_connection_that_the_server_closed_costs_nothing(redis_url: str, redis: Redis, queued: Queued) -> None:
    with Producer(redis_url, attempts=1) as producer:
        producer.submit(POST)
        redis.client_kill_filter(_type="normal", skipme=True)
        producer.submit(POST)

    assert queued() == [POST, POST]


def test_a_producer_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path) as server, Producer(server.url) as producer:
        producer.submit(POST)
        server.stop()
        with pytest.raises(QueueUnavailable):
            producer.submit(POST)
        server.start()
        producer.submit(POST)


@pytest.fixture
def full(redis: Redis) -> Iterator[Redis]:
    redis.config_set("maxmemory", 1)
    yield redis
    redis.config_set("maxmemory", 0)


def test_a_full_queue_is_told_as_such(full: Redis, redis_url: str) -> None:
    with Producer(redis_url) as producer, pytest.raises(QueueFull) as told:
        producer.submit(POST)

    assert told.value.retryable
    assert SECRET not in repr(told.value)


def test_a_queue_that_fills_up_tells_how_many_posts_are_confirmed(redis: Redis, redis_url: str, queued: Queued) -> None:
    posts = [Post(id=str(i), text="a" * 2000) for i in range(5000)]
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 4_000_000)
    try:
        with Producer(redis_url, attempts=2) as producer, pytest.raises(QueueFull) as told:
            producer.submit_many(posts)
        confirmed = told.value.confirmed
        assert 0 < confirmed < 5000
        assert {post.id for post in posts[:confirmed]} <= {post.id for post in queued()}

        redis.config_set("maxmemory", 0)
        with Producer(redis_url) as producer:
            producer.submit_many(posts[confirmed:])
    finally:
        redis.config_set("maxmemory", 0)

    assert {post.id for post in queued()} == {post.id for post in posts}


def test_when_room_is_made_in_time_a_full_queue_is_not_even_noticed(full: Redis, redis_url: str, queued: Queued) -> None:
    from threading import Timer

    timer = Timer(0.1, lambda: full.config_set("maxmemory", 0))
    timer.start()
    with Producer(redis_url, attempts=6) as producer:
        assert producer.submit_many([POST] * 700) == 700
    timer.join()

    assert len(queued()) == 700


@pytest.mark.parametrize("password", ["wrong", ""])
def test_wrong_credentials_are_told_and_not_tried_again(redis: Redis, wire: Wire, redis_url: str, password: str) -> None:
    url = as_user(redis_url, "forum", password).replace(f":{urlsplit(redis_url).port}", f":{wire.port}")
    with Producer(url) as producer, pytest.raises(QueueRefused) as told:
        producer.submit(POST)

    assert not told.value.retryable
    assert wire.connections == 1


def test_no_credentials_are_told_as_such(redis: Redis, redis_url: str) -> None:
    url = urlsplit(redis_url)._replace(netloc=redis_url.partition("@")[2].partition("/")[0]).geturl()
    with Producer(url) as producer, pytest.raises(QueueRefused, match="user and password"):
        producer.submit(POST)


def test_a_user_without_rights_is_told_and_the_post_is_not(redis: Redis, redis_url: str) -> None:
    redis.execute_command("ACL", "SETUSER", "nobody", "on", ">secret", "~*", "-@all", "+ping")
    try:
        with Producer(as_user(redis_url, "nobody", "secret")) as producer, pytest.raises(QueueRefused, match="allow") as told:
            producer.submit(POST)
    finally:
        redis.execute_command("ACL", "DELUSER", "nobody")

    assert SECRET not in repr(told.value)


def test_a_lane_that_is_no_stream_is_told(redis: Redis, redis_url: str) -> None:
    redis.set("modq:posts:live", "in the way")
    with Producer(redis_url) as producer:
        with pytest.raises(QueueRefused, match="stream") as told:
            producer.submit_many([POST] * 3)
        # One refused lane must not confuse the connection for the other.
        producer.submit(POST, lane="backlog")

    assert told.value.confirmed == 0


def test_a_server_that_quotes_the_command_in_its_error_does_not_get_the_text_into_ours(tmp_path: Path) -> None:
    class WithoutStreams(ValkeyServer):
        def _configuration(self) -> str:
            return super()._configuration() + '\nrename-command XADD ""\n'

    with WithoutStreams(tmp_path) as server, Producer(server.url) as producer, pytest.raises(QueueRefused) as told:
        producer.submit(POST)

    assert SECRET not in f"{told.value!r} {told.value.__cause__!r}"
    assert told.value.__suppress_context__


def test_what_does_not_speak_the_protocol_is_told() -> None:
    from threading import Thread

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()

        Thread(target=answer, daemon=True).start()
        with Producer(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", attempts=2) as producer, pytest.raises(QueueError):
            producer.submit(POST)


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost", "redis://localhost:port/0", "redis://localhost?socket_timeout=soon", "redis://localhost?colour=red"]
)
def test_a_url_of_no_queue_is_told_when_the_producer_is_made(url: str) -> None:
    with pytest.raises(QueueRefused):
        Producer(url)

"""What is on the queue, and a wire to it that can lose what comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from redis import Redis

from modq.post import FIELD, Lane, Post, decode, stream_of


class Wire:
    """A TCP proxy; while ``lets_through`` is a number, the connection breaks after so many bytes of answers."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lets_through: int | None = None
        """Bytes of answers; used up by one break, after which answers pass again."""
        self.forged: bytes | None = None
        """Comes instead of the next answer."""
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(self._upstream)
                threading.Thread(target=self._forward, args=(near, far), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if self.forged is not None:
                    data = self.forged + _after_first_answer(data)
                    self.forged = None
                if self.lets_through is not None and len(data) >= self.lets_through:
                    near.sendall(data[: self.lets_through])
                    self.lets_through = None
                    break
                if self.lets_through is not None:
                    self.lets_through -= len(data)
                near.sendall(data)
        for end in (near, far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _after_first_answer(data: bytes) -> bytes:
    """What follows the bulk string that `data` begins with."""
    length, _, rest = data.removeprefix(b"$").partition(b"\r\n")
    return rest[int(length) + 2 :]


@pytest.fixture
def wire(redis: object, redis_url: str) -> Iterator[Wire]:
    parts = urlsplit(redis_url)
    wire = Wire((parts.hostname or "127.0.0.1", parts.port or 6379))
    yield wire
    wire.close()


@pytest.fixture
def wire_url(wire: Wire, redis_url: str) -> str:
    """The queue at the other end of the wire."""
    return urlsplit(redis_url)._replace(netloc=f":{urlsplit(redis_url).password}@127.0.0.1:{wire.port}").geturl()


@pytest.fixture
def queued(redis: Redis) -> Callable[..., list[Post]]:
    """The posts that wait in a lane, in order, as a worker would read them."""

    def posts(lane: Lane = "live") -> list[Post]:
        entries = redis.xrange(stream_of(lane))
        assert all(fields.keys() == {FIELD.encode()} for _, fields in entries)
        return [decode(fields[FIELD.encode()]) for _, fields in entries]

    return posts

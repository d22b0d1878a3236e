"""One webhook takes no longer and no more memory than it may, however the receiver behaves."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.store.receivers import receiving, silence, status

from modq.signature import new_secret
from modq_worker.delivery_outcome import Answer
from modq_worker.endpoint_address import EndpointRules
from modq_worker.webhook import WebhookSender

DEADLINE = 1.0


def send(url: str, secrets: list[str], times: int = 1) -> tuple[Answer, float]:
    async def work() -> Answer:
        async with WebhookSender(deadline=DEADLINE, connections=4, rules=EndpointRules(allow_private=True)) as sender:
            for _ in range(times):
                answer = await sender.send(url, secrets, "msg_1", b'{"type":"post.flagged"}')
            return answer

    started = time.monotonic()
    return asyncio.run(work()), time.monotonic() - started


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads the request and then does whatever `talk` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=converse, args=[connection], daemon=True).start()
            except OSError:
                pass

        def converse(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65536)
                    talk(connection)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        listener.shutdown(socket.SHUT_RDWR)


def drip(first: bytes, piece: bytes, every: float) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(10_000_000):
            connection.sendall(piece)
            if every:
                time.sleep(every)

    return talk


def test_a_receiver_gets_what_the_standard_says() -> None:
    with receiving() as receiver:
        answer, _ = send(receiver.url, [receiver.secret])
        [webhook] = receiver.wait_for(1)
    assert answer == Answer(204)
    assert (webhook.id, webhook.body) == ("msg_1", b'{"type":"post.flagged"}')
    assert abs(int(webhook.timestamp) - time.time()) < 5


def test_during_a_rotation_both_secrets_work() -> None:
    with receiving() as receiver:
        assert send(receiver.url, [new_secret(), receiver.secret])[0] == Answer(204)
        assert receiver.refused == []


def test_a_redirect_is_not_followed() -> None:
    with receiving(status(302, location="/elsewhere")) as receiver:
        assert send(receiver.url, [receiver.secret])[0] == Answer(302)
        assert receiver.paths == ["/hooks/modq"]


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with receiving() as receiver:
        assert send(receiver.url, [receiver.secret])[0] == Answer(204)


def test_silence_ends_at_the_deadline() -> None:
    with receiving(silence()) as receiver:
        answer, took = send(receiver.url, [receiver.secret])
    assert answer == Answer(error="no answer within 1 s")
    assert took < DEADLINE + 0.7


def test_dripping_headers_end_at_the_deadline() -> None:
    with raw_server(drip(b"HTTP/1.1 200 OK\r\n", b"x-drip: 1\r\n", 0.1)) as url:
        answer, took = send(url, [new_secret()])
    assert answer.error == "no answer within 1 s"
    assert took < DEADLINE + 0.7


def test_an_answer_counts_as_soon_as_its_headers_are_here() -> None:
    with raw_server(drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b".", 0.1)) as url:
        answer, took = send(url, [new_secret()])
    assert answer == Answer(200)
    assert took < DEADLINE


def test_an_endless_body_is_left_after_16_kilobytes() -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"." * 0x10000 + b"\r\n")
            sent += 0x10000

    with raw_server(flood) as url:
        answer, took = send(url, [new_secret()])
    assert answer == Answer(200)
    assert took < DEADLINE
    assert sent < 20 * 1024 * 1024, "no more than what the sockets' buffers took"


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000 + b"\r\n\r\n", b"\x00" * 4096])
def test_what_is_not_http_is_a_failed_attempt(answer: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(answer)) as url:
        result, _ = send(url, [new_secret()])
    assert result.status is None
    assert result.error


def test_an_address_where_nobody_listens_is_a_failed_attempt() -> None:
    assert send("http://127.0.0.1:9/", [new_secret()])[0].error == "the connection failed: Connection refused"


def test_a_host_that_does_not_exist_is_a_failed_attempt() -> None:
    answer, _ = send("http://no-such-host.invalid/", [new_secret()])
    assert answer.error


def test_a_url_is_checked_when_it_is_used_too() -> None:
    answer, _ = send("file:///etc/passwd", [new_secret()])
    assert answer.status is None
    assert "must begin with https://" in (answer.error or "")


def test_a_malformed_secret_is_a_failed_attempt_and_not_a_crash() -> None:
    assert "whsec_" in (send("http://127.0.0.1:9/", ["password1"])[0].error or "")

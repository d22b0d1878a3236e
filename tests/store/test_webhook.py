"""One webhook takes no longer and no more memory than it may, however the receiver behaves."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.store.receivers import raw_server, receiving, silence

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

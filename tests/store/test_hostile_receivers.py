"""Hostile receivers cost neither time nor memory: each webhook ends in time, and `modq notify` stays as small as it was."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.store.conftest import Query
from tests.store.making import verdict
from tests.store.receivers import drip, raw_server, receiving
from tests.store.test_notifier import settled

from modq.signature import new_secret
from modq_worker.delivery_outcome import Answer
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import Endpoints
from modq_worker.verdict_store import VerdictStore
from modq_worker.webhook import WebhookSender

DEADLINE = 1.0
MEGABYTE = 1024 * 1024

Talk = Callable[[socket.socket], None]

BOMB = gzip.compress(bytes(256 * MEGABYTE), 1)
"""A megabyte or so of zeros that would become 256."""


def answer(status: bytes, *headers: bytes, body: bytes = b"") -> Talk:
    lines = [b"HTTP/1.1 " + status, *headers, b"content-length: %d" % len(body), b"", body]
    return lambda connection: connection.sendall(b"\r\n".join(lines))


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"." * 0x10000 + b"\r\n")


SILENT = Answer(error="no answer within 1 s")
TOO_LONG = Answer(error="the endpoint's answer is longer than 32768 bytes")

HOSTILE: dict[str, tuple[Talk, Answer]] = {
    "500": (answer(b"500 Internal Server Error", body=b"." * 100_000), Answer(500)),
    "drips its headers": (drip(b"HTTP/1.1 200 OK\r\n", b"x-drip: 1\r\n", 0.05), SILENT),
    "drips its body": (drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b".", 0.05), Answer(200)),
    "has an endless body": (endless, Answer(200)),
    "has a gzip bomb": (answer(b"200 OK", b"content-encoding: gzip", body=BOMB), Answer(200)),
    "redirects": (answer(b"308 Permanent Redirect", b"location: http://169.254.169.254/latest/meta-data/"), Answer(308)),
    "resets": (reset, Answer(error="the connection failed: Connection reset by peer")),
    "is flooded": (answer(b"429 Too Many Requests", b"retry-after: 0"), Answer(429, retry_after=0)),
    "says to go on, for ever": (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0), TOO_LONG),
    "has endless headers": (drip(b"HTTP/1.1 200 OK\r\n", b"x-endless: " + b"." * 1000 + b"\r\n", 0), TOO_LONG),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_webhook_ends_in_time_whatever_the_receiver_does(kind: str) -> None:
    talk, expected = HOSTILE[kind]

    async def work(url: str) -> list[Answer]:
        async with WebhookSender(deadline=DEADLINE, connections=4, rules=EndpointRules(allow_private=True)) as sender:
            return await asyncio.gather(*(sender.send(url, [new_secret()], "msg_1", b"{}") for _ in range(4)))

    with raw_server(talk) as url:
        started = time.monotonic()
        answers = asyncio.run(work(url))
    assert answers == [expected] * 4
    # Half a second for an answer's body, so that its connection can be used again; the rest for a machine under load.
    assert time.monotonic() - started < DEADLINE + 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_of_them_together_neither_feed_the_notifier_nor_delay_a_healthy_receiver(
    database_url: str, endpoints: Endpoints, store: VerdictStore, query: Query
) -> None:
    environment = {**os.environ, "MODQ_DATABASE_URL": database_url, "MODQ_ALLOW_PRIVATE_ENDPOINTS": "true", "MODQ_WEBHOOK_DEADLINE_SECONDS": "1"}
    with ExitStack() as stack:
        healthy = stack.enter_context(receiving())
        endpoints.add(healthy.url, healthy.secret)
        # Its first webhooks are what makes the process as large as it is.
        store.save([verdict(f"warm-{number}") for number in range(100)])
        process = stack.enter_context(subprocess.Popen([sys.executable, "-m", "modq", "notify"], env=environment, stderr=subprocess.DEVNULL))
        stack.callback(process.kill)
        settled(query, "delivered", 100, seconds=40)
        before = memory(process.pid)
        for talk, _ in HOSTILE.values():
            endpoints.add(stack.enter_context(raw_server(talk)), new_secret())
        delays = []
        for number in range(60):
            stored = time.monotonic()
            store.save([verdict(f"late-{number}")])
            delays.append(healthy.wait_for(101 + number)[-1].at - stored)
            # Whoever fails is soon due again.
            query("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending' AND attempts > 0")
            time.sleep(0.05)
        grown = memory(process.pid) - before
        [(tried,)] = query("SELECT count(*) FROM deliveries WHERE attempts > 0 AND endpoint_id <> (SELECT min(id) FROM endpoints)")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert tried > 100, "the hostile ones were really posted to"
    assert grown < 20 * MEGABYTE
    assert sorted(delays)[58] < 1


def memory(pid: int) -> int:
    """The most memory that the process has ever had, in bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

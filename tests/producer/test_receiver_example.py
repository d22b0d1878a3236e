"""The example receiver acts once on each flag of ours, and on nothing else."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.producer.test_flag import FLAG

from modq.flag import encode_flag
from modq.signature import new_secret, sign

EXAMPLE = Path(__file__).parents[2] / "examples" / "receive_flags.py"
SECRET = new_secret()


@pytest.fixture
def receiver() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, EXAMPLE, "0"], stdout=subprocess.PIPE, text=True, env=os.environ | {"MODQ_WEBHOOK_SECRET": SECRET})
    yield process
    process.kill()
    process.communicate()


def post(url: str, body: bytes, secret: str = SECRET, **other: str) -> int:
    now = int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": sign(secret, "msg_1", now, body)} | other
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_flag_is_acted_on_once_and_a_forgery_never(receiver: subprocess.Popen[str]) -> None:
    assert receiver.stdout is not None
    url = receiver.stdout.readline().split()[-1]
    body = encode_flag(FLAG)

    assert post(url, body, secret=new_secret()) == 400
    assert post(url, b"{}") == 400
    assert post(url, body, **{"content-length": "1000000"}) == 400
    assert post(url, body) == 204
    assert post(url, body) == 204

    receiver.terminate()
    assert receiver.communicate(timeout=10)[0].splitlines() == ["toxic 0.97  post 42 of forum  (by ada)"]

"""No spelling of an internal address is posted to: neither saved, nor, should one be in the store, connected to."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpcore
import pytest
from sqlalchemy import Engine
from tests.store.receivers import receiving, status

from modq.signature import new_secret
from modq_worker.checked_network import CheckedNetwork
from modq_worker.database import create_engine
from modq_worker.delivery_outcome import Answer
from modq_worker.endpoint_address import EndpointRules, InvalidEndpoint
from modq_worker.endpoints import Endpoints
from modq_worker.public_address import is_public
from modq_worker.webhook import WebhookSender

PUBLIC, PUBLIC_V6 = "93.184.215.14", "2606:2800:21f:cb07::1"

NAMES = {
    "loopback.example": ["127.0.0.1"],
    "private.example": ["10.1.2.3"],
    "metadata.example": ["169.254.169.254"],
    "loopback6.example": ["::1"],
    "scoped.example": ["fe80::1%2"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "public-and-private.example": [PUBLIC, "127.0.0.1"],
    "private-and-public.example": ["192.168.1.1", PUBLIC],
    "two-families.example": [PUBLIC, "::1"],
    "nothing.example": [],
    "nonsense.example": ["localhost"],
    "localhost": ["127.0.0.1"],
    "printer": ["192.168.1.7"],
}

SPELLINGS = [
    # Addresses as they are
    "https://127.0.0.1:{port}/",
    "https://127.255.255.254:{port}/",
    "https://0.0.0.0:{port}/",
    "https://10.0.0.1:{port}/",
    "https://172.16.0.1:{port}/",
    "https://192.168.0.1:{port}/",
    "https://100.64.0.1:{port}/",
    "https://100.100.100.200:{port}/latest/meta-data/",
    "https://169.254.169.254:{port}/latest/meta-data/",
    "https://168.63.129.16:{port}/",
    "https://192.0.0.192:{port}/",
    "https://192.88.99.1:{port}/",
    "https://198.18.0.1:{port}/",
    "https://224.0.0.1:{port}/",
    "https://255.255.255.255:{port}/",
    # The same in other words
    "https://127.1:{port}/",
    "https://127.0.1:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.0.0.1:{port}/",
    "https://0x7f.1:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://127.0.0.01:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://0:{port}/",
    "https://127%2e0.0.1:{port}/",
    "https://%31%32%37.0.0.1:{port}/",
    "https://\uff11\uff12\uff17.0.0.1:{port}/",
    "https://127\u30020\u30020\u30021:{port}/",
    "https://127\uff0e0\uff0e0\uff0e1:{port}/",
    "https://\u2460\u2461\u2466.0.0.1:{port}/",
    # IPv6, and IPv4 inside it
    "https://[::1]:{port}/",
    "https://[::]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::127.0.0.1]:{port}/",
    "https://[64:ff9b:1::a9fe:a9fe]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[2001:0:7f00:1::]:{port}/",
    "https://[fe80::1]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[fec0::1]:{port}/",
    "https://[fd00:ec2::254]:{port}/",
    "https://[ff02::1]:{port}/",
    "https://[2001:db8::1]:{port}/",
    "https://[v1.127.0.0.1]:{port}/",
    # Names
    "https://localhost:{port}/",
    "https://LOCALHOST:{port}/",
    "https://localhost.:{port}/",
    "https://printer:{port}/",
    "https://loopback.example:{port}/",
    "https://private.example:{port}/",
    "https://metadata.example:{port}/",
    "https://loopback6.example:{port}/",
    "https://scoped.example:{port}/",
    "https://mapped.example:{port}/",
    "https://public-and-private.example:{port}/",
    "https://private-and-public.example:{port}/",
    "https://two-families.example:{port}/",
    "https://nothing.example:{port}/",
    "https://nonsense.example:{port}/",
    "https://unknown.example:{port}/",
    # Two readings of one URL
    "https://forum.example@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@forum.example/",
    "https://forum.example:443@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@forum.example/",
    "https://127.0.0.1:{port}\\@forum.example/",
    "https://forum.example\\@127.0.0.1:{port}/",
    "https:\\\\127.0.0.1:{port}/",
    "https://forum.example/#@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}?@forum.example/",
    "https://127.0.0.1\t:{port}/",
    "https://127.0.0.1\r\n:{port}/",
    "https://forum.example/\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "\x00https://127.0.0.1:{port}/",
    " https://127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "https:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    # Other schemes, other ports
    "http://127.0.0.1:{port}/",
    "http://forum.example:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock",
    "data:text/plain,modq",
    "ws://127.0.0.1:{port}/",
    "https://forum.example:22/",
    "https://forum.example:6379/",
    "https://forum.example:0/",
]


def resolve(host: str, port: int) -> Sequence[str]:
    if host == "forum.example":
        return [PUBLIC]
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return NAMES[host]


class Recorder(httpcore.AsyncNetworkBackend):
    """Notes whom it is asked to connect to, and does not."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, *_: object) -> httpcore.AsyncNetworkStream:  # type: ignore[override]
        self.asked.append((host, port))
        raise httpcore.ConnectError


@contextmanager
def trap() -> Iterator[tuple[socket.socket, int]]:
    """Something internal that listens, on every loopback address; whoever connects waits in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener, listener.getsockname()[1]


def untouched(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def send(rules: EndpointRules, *urls: str, secret: str | None = None) -> list[Answer]:
    async def work() -> list[Answer]:
        async with WebhookSender(deadline=3, connections=4, rules=rules) as sender:
            return [await sender.send(url, [secret or new_secret()], "msg_1", b"{}") for url in urls]

    return asyncio.run(work())


@pytest.fixture
def no_store() -> Iterator[Engine]:
    """A store that cannot be reached: who gets as far as to it has been let in."""
    engine = create_engine("postgresql://modq@127.0.0.1:9/modq")
    yield engine
    engine.dispose()


def test_the_catalogue_is_long_enough_to_mean_something() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 24


@pytest.mark.parametrize("spelling", SPELLINGS, ids=ascii)
def test_it_is_not_saved(spelling: str, no_store: Engine) -> None:
    rules = EndpointRules(ports=frozenset({443, 8443, 4430}), resolve=resolve)
    with pytest.raises(InvalidEndpoint):
        Endpoints(no_store, rules).add(spelling.format(port=4430), new_secret())


def test_it_is_not_posted_to_though_it_is_in_the_store() -> None:
    with trap() as (listener, port):
        rules = EndpointRules(ports=frozenset({443, 8443, port}), resolve=resolve)
        urls = [spelling.format(port=port) for spelling in SPELLINGS]
        answers = send(rules, *urls)
        assert untouched(listener)
    let_through = [url for url, answer in zip(urls, answers, strict=True) if answer.status or not _refused(answer)]
    assert let_through == []


def _refused(answer: Answer) -> bool:
    """By a rule of ours, and not by a connection that failed."""
    return (answer.error or "").startswith(("An endpoint's", "The endpoint's host"))


def test_the_trap_catches_whoever_is_let_through() -> None:
    with trap() as (listener, port):
        send(EndpointRules(allow_private=True, resolve=resolve), f"http://loopback.example:{port}/")
        assert not untouched(listener)


def test_a_name_that_changes_after_it_was_saved_is_refused_when_it_is_used() -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    with trap() as (listener, port):
        rules = EndpointRules(ports=frozenset({port}), resolve=lambda host, port: next(answers))
        rules.check_to_save(f"https://rebinding.example:{port}/")
        assert _refused(send(rules, f"https://rebinding.example:{port}/")[0])
        assert untouched(listener)


def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_connected_to() -> None:
    answers = iter([[PUBLIC, PUBLIC_V6], ["127.0.0.1"]])
    below = Recorder()
    network = CheckedNetwork(EndpointRules(resolve=lambda host, port: next(answers)), below)
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(network.connect_tcp("rebinding.example", 443, 1.0))
    assert below.asked == [(PUBLIC, 443), (PUBLIC_V6, 443)]
    with pytest.raises(InvalidEndpoint):
        asyncio.run(network.connect_tcp("rebinding.example", 443, 1.0))
    assert len(below.asked) == 2, "the second look-up led inside, and nothing was connected to"


def test_after_an_address_that_does_not_answer_the_next_is_tried() -> None:
    with receiving() as receiver:
        port = urlsplit(receiver.url).port
        # 127.0.0.2 is this machine too, and nobody listens on it.
        rules = EndpointRules(allow_private=True, resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])
        assert send(rules, f"http://two.example:{port}/hook", secret=receiver.secret) == [Answer(204)]


def test_a_redirect_to_an_internal_address_is_not_followed() -> None:
    with trap() as (listener, port), receiving(status(307, location=f"http://127.0.0.1:{port}/")) as receiver:
        assert send(EndpointRules(allow_private=True), receiver.url, secret=receiver.secret) == [Answer(307)]
        assert untouched(listener)


def test_a_look_up_that_hangs_ends_at_the_deadline_and_holds_one_thread() -> None:
    release, looked = threading.Event(), []

    def hang(host: str, port: int) -> Sequence[str]:
        looked.append(host)
        release.wait(20)
        return [PUBLIC]

    async def work() -> list[Answer]:
        async with WebhookSender(deadline=0.5, connections=8, rules=EndpointRules(resolve=hang)) as sender:
            answers = await asyncio.gather(*(sender.send("https://slow.example/", [new_secret()], "msg_1", b"{}") for _ in range(8)))
            release.set()
            return answers

    started = time.monotonic()
    assert {answer.error for answer in asyncio.run(work())} == {"no answer within 0.5 s"}
    assert time.monotonic() - started < 3
    assert looked == ["slow.example"]


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_V6, "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "2a00:1450::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("port", [443, 8443])
def test_an_ordinary_endpoint_is_saved(port: int, endpoints: Endpoints, engine: Engine) -> None:
    added = Endpoints(engine, EndpointRules(resolve=resolve)).add(f"https://forum.example:{port}/hook", new_secret())
    assert endpoints.get(added).url == f"https://forum.example:{port}/hook"

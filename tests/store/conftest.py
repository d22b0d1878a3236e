"""A store, the command line in front of it, and a notifier at work on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import Engine, text

from modq import cli
from modq_worker.database import conninfo
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import Endpoints
from modq_worker.notifier import Notifier, listen
from modq_worker.outbox import Outbox
from modq_worker.settings import settings
from modq_worker.verdict_store import VerdictStore
from modq_worker.webhook import WebhookSender

Query = Callable[..., list[tuple]]  # type: ignore[type-arg]


@pytest.fixture
def store(engine: Engine) -> VerdictStore:
    return VerdictStore(engine)


@pytest.fixture
def endpoints(engine: Engine) -> Endpoints:
    return Endpoints(engine, EndpointRules(allow_private=True))


@pytest.fixture
def query(engine: Engine) -> Query:
    """Run one statement in a transaction of its own; rows as tuples."""

    def run(statement: str, **values: object) -> list[tuple]:  # type: ignore[type-arg]
        with engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run


@pytest.fixture
def modq(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """The command line, configured by the environment as a user would; gives the exit status."""
    monkeypatch.setenv("MODQ_DATABASE_URL", database_url)
    monkeypatch.setenv("MODQ_REDIS_URL", redis_url)
    monkeypatch.setenv("MODQ_ALLOW_PRIVATE_ENDPOINTS", "true")
    settings.cache_clear()
    yield lambda *words: cli.main([str(word) for word in words])
    settings.cache_clear()


@pytest.fixture
def notifying(engine: Engine) -> Callable[..., AbstractContextManager[None]]:
    """A notifier at work within a `with` block, on an event loop of its own."""

    @contextmanager
    def notify(
        *, deadline: float = 2.0, in_flight: int = 20, per_endpoint: int = 4, lease_seconds: float = 30, listening: bool = True
    ) -> Iterator[None]:
        loop, stop = asyncio.new_event_loop(), asyncio.Event()

        async def work() -> None:
            async with WebhookSender(deadline=deadline, connections=in_flight, rules=EndpointRules(allow_private=True)) as sender:
                notifier = Notifier(Outbox(engine, lease_seconds=lease_seconds), sender, in_flight=in_flight, per_endpoint=per_endpoint)
                ears = asyncio.create_task(listen(conninfo(engine), notifier.wake)) if listening else None
                await notifier.run(stop)
                if ears:
                    ears.cancel()
                    await asyncio.gather(ears, return_exceptions=True)

        thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()
            assert not thread.is_alive(), "the notifier did not stop"

    return notify

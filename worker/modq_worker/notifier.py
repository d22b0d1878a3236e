"""Brings due deliveries to their endpoints, many at once, so that no endpoint waits for another."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import psycopg
import structlog

from modq_worker.delivery_outcome import Answer, Outcome, interrupted, outcome
from modq_worker.hung import end_process
from modq_worker.outbox import Delivery, Outbox
from modq_worker.store_errors import StoreUnavailable
from modq_worker.verdict_store import DELIVERIES_WRITTEN
from modq_worker.webhook import WebhookSender

POLL_SECONDS: Final = 0.5
"""How often the outbox is looked at when nobody says that something was written."""

GRACE_SECONDS: Final = 3.5
"""How long webhooks in flight may take to end when the notifier is asked to stop."""

SLOW_SECONDS: Final = 1.0
"""After so long without an answer, an endpoint shares the slots of those that fail."""

_STORE_PAUSE_SECONDS: Final = 2.0
_SAY_EVERY_SECONDS: Final = 10.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class WakeUp(Protocol):
    """Called when the outbox may hold something new."""

    def __call__(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Flight:
    """A webhook on its way."""

    delivery: Delivery
    started: float


class Notifier:
    """Leases, sends, records. What is leased but not recorded when it ends is sent again later under the same webhook-id."""

    def __init__(self, outbox: Outbox, sender: WebhookSender, *, in_flight: int, per_endpoint: int, stall_seconds: float = 20.0) -> None:
        self._outbox = outbox
        self._sender = sender
        self._in_flight = in_flight
        self._per_endpoint = per_endpoint
        self._stall_seconds = stall_seconds
        self._wake = asyncio.Event()
        self._flying: dict[asyncio.Task[Answer], _Flight] = {}
        self._unrecorded: dict[int, tuple[Delivery, Outcome]] = {}
        self._paused: dict[int, float] = {}
        """Endpoints that asked for quiet, until when."""
        # A thread of its own: those of the event loop may all be waiting for slow name look-ups.
        self._thread = ThreadPoolExecutor(1, "outbox")
        self._said_waiting = -_SAY_EVERY_SECONDS

    def wake(self) -> None:
        """Look at the outbox now; call it from the event loop."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set, then finish what is in flight, within five seconds."""
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self.wake())
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._rest(await self._turn())
        finally:
            stopping.cancel()
            await self._finish()

    async def _turn(self) -> float:
        """Record what ended, lease what is due, send it; returns how long to rest when nothing wakes us."""
        try:
            await self._record()
            for delivery in await self._lease():
                self._send(delivery)
        except StoreUnavailable as error:
            # Whatever ends meanwhile is held; nothing is leased, so what is held stays bounded.
            self._say_waiting(error)
            return _STORE_PAUSE_SECONDS
        return POLL_SECONDS

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    # Leasing

    async def _lease(self) -> list[Delivery]:
        free = self._in_flight - len(self._flying) - len(self._unrecorded)
        if free <= 0:
            return []
        busy, slow = self._busy(), self._slow()
        held = sum(flight.delivery.failing or flight.delivery.endpoint_id in slow for flight in self._flying.values())
        # However many endpoints fail or hang, half of the slots stay for the others.
        left = max(max(self._in_flight // 2, 1) - held, 0)
        return await self._in_thread(lambda: self._outbox.lease(free, self._per_endpoint, busy, slow=slow, held_back_limit=left))

    def _slow(self) -> set[int]:
        """Endpoints that have not answered for a while, and may be about to fail."""
        since = time.monotonic() - SLOW_SECONDS
        return {flight.delivery.endpoint_id for flight in self._flying.values() if flight.started < since}

    def _busy(self) -> dict[int, int]:
        """Slots taken per endpoint; one that asked for quiet has lost all."""
        busy = Counter(flight.delivery.endpoint_id for flight in self._flying.values())
        busy.update(delivery.endpoint_id for delivery, _ in self._unrecorded.values())
        now = time.monotonic()
        self._paused = {endpoint: until for endpoint, until in self._paused.items() if until > now}
        for endpoint in self._paused:
            busy[endpoint] += self._per_endpoint
        return dict(busy)

    # Sending

    def _send(self, delivery: Delivery) -> None:
        attempt = self._sender.send(delivery.url, delivery.secrets, delivery.webhook_id, delivery.body)
        task = asyncio.create_task(attempt)
        self._flying[task] = _Flight(delivery, time.monotonic())
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        delivery = self._flying.pop(task).delivery
        if task.cancelled():
            result = interrupted()
        else:
            result = outcome(_answer(task), delivery.attempts, random.random())  # noqa: S311 - only spreads retries
            self._heed(delivery, result)
        self._unrecorded[delivery.id] = (delivery, result)
        self._wake.set()

    def _heed(self, delivery: Delivery, result: Outcome) -> None:
        """Remember how the endpoint fares, and say so."""
        told = {"endpoint": delivery.endpoint_id, "webhook_id": delivery.webhook_id, "attempt": delivery.attempts}
        if result.pause:
            self._paused[delivery.endpoint_id] = time.monotonic() + result.pause
        if result.state == "delivered":
            log.debug("delivered", **told, status=result.status)
            return
        log.warning("not delivered", **told, error=result.error, state=result.state, retry_in_s=round(result.wait))

    # Recording

    async def _record(self) -> None:
        ended = {id: result for id, (_, result) in self._unrecorded.items()}
        for disabled in await self._in_thread(lambda: self._outbox.record(ended)):
            log.error("endpoint disabled", endpoint=disabled.endpoint_id, reason=disabled.reason)
        for id in ended:
            del self._unrecorded[id]

    async def _finish(self) -> None:
        """Let what is in flight end, break off what does not, and record both."""
        if self._flying:
            _, late = await asyncio.wait(list(self._flying), timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        # What cannot be recorded now is due again when its lease ends.
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(1):
                await self._record()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Ask the store; where it hangs past every time-out of its own, only the end of the process ends it."""
        answer = asyncio.get_running_loop().run_in_executor(self._thread, call)
        done, _ = await asyncio.wait([answer], timeout=self._stall_seconds)
        if not done:
            end_process(f"the store has not answered for {self._stall_seconds:g} s")
        return answer.result()

    def _say_waiting(self, error: Exception) -> None:
        if time.monotonic() - self._said_waiting > _SAY_EVERY_SECONDS:
            self._said_waiting = time.monotonic()
            log.warning("waiting", whom="the store", error=str(error))


def _answer(task: asyncio.Task[Answer]) -> Answer:
    if (error := task.exception()) is None:
        return task.result()
    # A mistake of ours with one webhook must not stop the others.
    log.error("webhook crashed", exc_info=error)
    return Answer(error=f"modq failed to send it ({type(error).__name__})")


async def listen(conninfo: dict[str, Any], wake: WakeUp) -> None:
    """Call ``wake`` whenever a worker has written deliveries, for ever; a lost connection is made again.

    Only a wake-up: the notifier polls as well, and misses nothing while nobody listens.
    """
    while True:
        with suppress(psycopg.Error, OSError):
            async with await psycopg.AsyncConnection.connect(**conninfo, autocommit=True) as connection:
                await connection.execute(f"LISTEN {DELIVERIES_WRITTEN}")
                wake()
                async for _ in connection.notifies():
                    wake()
        await asyncio.sleep(1)

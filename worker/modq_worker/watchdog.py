"""The pulse of a worker: its heartbeat goes on only while its work does, and a hung worker ends itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis import RedisError

from modq_worker.hung import end_process
from modq_worker.stream import Inbox

log = structlog.get_logger(__name__)


class Pulse(threading.Thread):
    """Renews the consumer's heartbeat, and ends the process when work stands still for ``stall_seconds``.

    An idle worker is alive. A busy one is alive as long as it calls ``beat``, which it does after every forward pass
    and while it waits for a server that is away; so a slow model is not killed, and a hung one cannot keep its posts.
    """

    def __init__(self, inbox: Inbox, *, heartbeat_seconds: float, stall_seconds: float) -> None:
        super().__init__(name="pulse", daemon=True)
        self._inbox = inbox
        self._heartbeat_seconds = heartbeat_seconds
        self._stall_seconds = stall_seconds
        self._last_beat: float | None = None
        self.idle = threading.Event()
        """Set while no block of ``working`` is being run."""
        self.idle.set()
        self._stopped = threading.Event()

    def beat(self) -> None:
        """The work has come a step further."""
        self._last_beat = time.monotonic()

    @contextmanager
    def working(self) -> Iterator[None]:
        """From here to the end of the block, standing still means hanging."""
        self.beat()
        self.idle.clear()
        try:
            yield
        finally:
            self._last_beat = None
            self.idle.set()

    def run(self) -> None:
        """Beat until stopped; not to be called, see ``start``."""
        # The first beat at once: a worker that reads before its heartbeat is there looks dead to the others.
        while True:
            if (last := self._last_beat) is not None and time.monotonic() - last > self._stall_seconds:
                end_process(f"no progress for {self._stall_seconds:g} s")
            try:
                self._inbox.renew_heartbeat(self._heartbeat_seconds)
            except RedisError as error:
                log.warning("heartbeat_failed", error=type(error).__name__)
            if self._stopped.wait(self._heartbeat_seconds / 3):
                return

    def stop(self) -> None:
        """End the heartbeat and say goodbye, so that what is left goes to another worker at once."""
        self._stopped.set()
        self.join()
        try:
            self._inbox.leave()
        except RedisError as error:
            log.warning("left_without_goodbye", error=type(error).__name__)

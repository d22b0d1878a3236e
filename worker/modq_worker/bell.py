"""The bell: sleeps on Redis until posts wait, then rings Celery with one content-free doorbell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog
from redis import RedisError

from modq.post import Lane
from modq_worker.stream import Inbox

_OUTSTANDING: Final = "modq:doorbell:"
_UNANSWERED_MS: Final = 2000
"""After this long an unanswered doorbell is taken for lost, and another is rung."""
_LOOK_AGAIN_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 1.0
"""As long as the bell may sleep after it was told to stop."""

log = structlog.get_logger(__name__)


class Bell(threading.Thread):
    """Rings ``ring(lane)`` when entries wait in ``lane``, this worker is idle, and no other doorbell is outstanding.

    Producers never ring, so a doorbell that gets lost costs two seconds and no post.
    """

    def __init__(self, inbox: Inbox, *, idle: threading.Event, ring: Callable[[Lane], None]) -> None:
        super().__init__(name="bell", daemon=True)
        self._inbox = inbox
        self._idle = idle
        self._ring = ring
        self._stopped = threading.Event()

    def run(self) -> None:
        """Listen until stopped; not to be called, see ``start``."""
        while not self._stopped.is_set():
            try:
                self._listen()
            except Exception as error:
                # Whatever it is: a bell that dies leaves a worker that sleeps for ever.
                log.warning("bell_cannot_listen", error=type(error).__name__)
                self._stopped.wait(1.0 if isinstance(error, RedisError) else 5.0)

    def _listen(self) -> None:
        # A drain looks at the lanes itself, between any two passes.
        if not self._idle.wait(_STOP_SECONDS):
            return
        if (lane := self._inbox.wait_for_entries(seconds=_STOP_SECONDS)) is None:
            return
        if self._inbox.redis.set(_OUTSTANDING + lane, self._inbox.consumer, nx=True, px=_UNANSWERED_MS):
            self._ring(lane)
        # Until then the drain has begun, here or in another worker.
        self._stopped.wait(_LOOK_AGAIN_SECONDS)

    def stop(self) -> None:
        """Ring no more."""
        self._stopped.set()


def answered(inbox: Inbox) -> None:
    """The doorbell was heard: the next one may ring, for another worker."""
    inbox.redis.delete(*(_OUTSTANDING + lane for lane in inbox.lanes))

"""Every polite request to end arrives as KeyboardInterrupt, so that one way of cleaning up serves them all."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Inside the block SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does; main thread only."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, present in before.items():
        # Whoever started us with a signal ignored (nohup) meant it.
        if present is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, present in before.items():
            signal.signal(number, present)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

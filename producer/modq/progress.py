"""A progress line for a terminal: how many, how fast, how long still."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Final, TextIO

_EVERY_SECONDS: Final = 0.1
_WIDTH: Final = 24


class Progress:
    """Draws one line on a terminal and nothing anywhere else.

    Args:
        size: What ``position`` runs up to, such as the bytes of a file; None if nobody knows.
    """

    def __init__(self, label: str, size: int | None, stream: TextIO | None = None) -> None:
        self._label = label
        self._size = size
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._began = self._drawn = time.monotonic()
        self._first: tuple[int, int] | None = None

    def update(self, count: int, position: int = 0, note: str = "") -> None:
        """Tell that ``count`` posts are done; drawn at most ten times a second, at once with a ``note``."""
        now = time.monotonic()
        # What an earlier run did says nothing of this one's speed.
        self._first = self._first or (count, position)
        if self._shown and (note or now - self._drawn >= _EVERY_SECONDS):
            self._drawn = now
            self._write(self._line(count, position, now - self._began, note))

    def close(self) -> None:
        """Wipe the line."""
        if self._shown:
            self._write("")

    def _write(self, line: str) -> None:
        # A line that wraps could not be wiped.
        columns = shutil.get_terminal_size().columns
        self._stream.write(f"\r\x1b[K{line[: columns - 1]}")
        self._stream.flush()

    def _line(self, count: int, position: int, seconds: float, note: str) -> str:
        first_count, first_position = self._first or (0, 0)
        rate = (count - first_count) / seconds if seconds > 0 else 0.0
        parts = [self._label, *self._bar(position), f"{count:,} posts", f"{rate:,.0f}/s"]
        if self._size and position > first_position:
            left = seconds * (self._size - position) / (position - first_position)
            parts.append(f"{_clock(left)} left")
        return "  ".join([*parts, note] if note else parts)

    def _bar(self, position: int) -> list[str]:
        if not self._size:
            return []
        done = min(1.0, position / self._size)
        return [f"{'█' * round(_WIDTH * done):░<{_WIDTH}} {done:4.0%}"]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

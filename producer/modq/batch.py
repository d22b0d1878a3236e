"""A batch of posts on its way to the queue: what is confirmed, what is to be sent again, and when to give up.

It has no socket and no clock, so that ``Producer`` and ``AsyncProducer`` share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modq.post import FIELD, Lane, Post, encode, stream_of
from modq.queue_errors import explain

BATCH_BYTES: Final = 1024 * 1024
"""A batch of long posts is sent early, so that memory and the time of one answer stay bounded."""

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Batch:
    """Entries for one lane, each to be confirmed by the queue."""

    def __init__(self, lane: Lane, entries: Sequence[bytes], *, attempts: int, place: str) -> None:
        self._head = _command_head(lane)
        self._entries = entries
        self._ids: list[bytes | None] = [None] * len(entries)
        self._attempts_left = attempts
        self._pause = FIRST_PAUSE
        self._place = place

    @property
    def done(self) -> bool:
        """Whether the queue has confirmed every entry."""
        return None not in self._ids

    @property
    def confirmed(self) -> int:
        """How many entries, from the first on without a gap, the queue has confirmed."""
        return len(self._ids) if self.done else self._ids.index(None)

    @property
    def last_id(self) -> str:
        """The stream's id of the last entry."""
        return (self._ids[-1] or b"").decode()

    def waiting(self) -> list[int]:
        """The entries that are not confirmed, in the order in which ``commands`` sends them."""
        return [index for index, entry_id in enumerate(self._ids) if entry_id is None]

    def commands(self) -> bytes:
        """One ``XADD`` for each entry that is not confirmed, in the Redis protocol.

        Packed by hand: redis-py's general way costs more than all the rest of publishing a post.
        """
        head, entries = self._head, self._entries
        return b"".join([b"%b%d\r\n%b\r\n" % (head, len(entries[i]), entries[i]) for i in self.waiting()])

    def confirm(self, index: int, entry_id: bytes) -> None:
        """Note that the queue took the entry, under this id."""
        self._ids[index] = entry_id

    def pause_after(self, error: Exception) -> float:
        """Seconds to wait before another attempt at what is not confirmed.

        Raises:
            QueueError: a retry cannot help, or the attempts are used up.
        """
        told = explain(error, self._place)
        self._attempts_left -= 1
        if not told.retryable or self._attempts_left <= 0:
            raise told from None
        self._pause, pause = min(2 * self._pause, LONGEST_PAUSE), self._pause
        return pause


def encoded(post: Post) -> bytes:
    """The entry of ``post``.

    Raises:
        TypeError: it is no ``Post``.
    """
    if not isinstance(post, Post):
        raise TypeError(f"modq publishes modq.Post, not {type(post).__name__}")
    return encode(post)


class Filling:
    """Entries being gathered until they make a batch."""

    def __init__(self, posts: int) -> None:
        if posts < 1:
            raise ValueError("a batch has at least one post")
        self._posts = posts
        self._entries: list[bytes] = []
        self._bytes = 0

    def add(self, post: Post) -> list[bytes] | None:
        """Take one post in; the full batch, once it is full."""
        entry = encoded(post)
        self._entries.append(entry)
        self._bytes += len(entry)
        return self.rest() if len(self._entries) >= self._posts or self._bytes >= BATCH_BYTES else None

    def rest(self) -> list[bytes]:
        """What was gathered since the last full batch."""
        entries, self._entries, self._bytes = self._entries, [], 0
        return entries


def _command_head(lane: Lane) -> bytes:
    words = (b"XADD", stream_of(lane).encode(), b"*", FIELD.encode())
    return b"*5\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words) + b"$"

"""modq: publish posts for moderation, read what comes back.

>>> from modq import Post, Producer
>>> Producer("redis://localhost:6379/0").submit(Post(id="42", text="hello"))  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modq.errors import (
    InvalidFlag,
    InvalidPost,
    InvalidSecret,
    MissingExtra,
    ModqError,
    QueueError,
    QueueFull,
    QueueRefused,
    QueueUnavailable,
)
from modq.flag import Flag, open_flag
from modq.post import Lane, Post

if TYPE_CHECKING:
    from modq.aio import AsyncProducer
    from modq.producer import Producer

__all__ = [
    "AsyncProducer",
    "Flag",
    "InvalidFlag",
    "InvalidPost",
    "InvalidSecret",
    "Lane",
    "MissingExtra",
    "ModqError",
    "Post",
    "Producer",
    "QueueError",
    "QueueFull",
    "QueueRefused",
    "QueueUnavailable",
    "open_flag",
]


def __getattr__(name: str) -> Any:
    # The producers import redis-py, which takes longer than all the rest; a receiver of flags never needs it.
    if name == "Producer":
        from modq.producer import Producer

        return Producer
    if name == "AsyncProducer":
        from modq.aio import AsyncProducer

        return AsyncProducer
    raise AttributeError(f"module 'modq' has no attribute {name!r}")

"""What an error of Redis means for a publisher, in words that never quote the server or the post."""

from __future__ import annotations

from typing import Final

from redis import exceptions

from modq.errors import QueueError, QueueFull, QueueRefused, QueueUnavailable

_PASSING: Final = {
    "LOADING": "is still loading its data",
    "READONLY": "is a replica that takes no writes",
    "MASTERDOWN": "has lost its primary",
    "CLUSTERDOWN": "is a cluster that is down",
    "TRYAGAIN": "is moving its data",
    "MISCONF": "cannot write to its disk",
    "NOREPLICAS": "has too few replicas",
    "BUSY": "is busy with a script",
}
_LASTING: Final = {
    "WRONGPASS": "does not know this user or password",
    "NOAUTH": "wants a user and password",
    "NOPERM": "does not allow this user to publish",
    "WRONGTYPE": "has something else than a stream under the lane's name",
    "MOVED": "is a cluster, of which this node does not hold the lane",
    "DENIED": "is in protected mode and takes no other machine's commands",
}


def explain(error: Exception, place: str) -> QueueError:
    """The error to raise instead of ``error``; its ``retryable`` says whether the same call can succeed later."""
    code = _code(error)
    queue = f"the queue at {place}"
    if code == "OOM":
        return QueueFull(f"{queue} is full: it has reached its maxmemory; retry later")
    if code in _PASSING:
        return QueueUnavailable(f"{queue} {_PASSING[code]}; retry later")
    if code in _LASTING:
        return QueueRefused(f"{queue} {_LASTING[code]}")
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return QueueRefused(f"{queue} {_LASTING['WRONGPASS']}")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return QueueUnavailable(f"{queue} did not answer in time")
    if isinstance(error, exceptions.ConnectionError | OSError):
        return QueueUnavailable(f"{queue} cannot be reached")
    if isinstance(error, exceptions.ResponseError):
        return QueueRefused(f"{queue} refused ({code or 'no reason given'})")
    return QueueRefused(f"what answers at {place} does not speak the Redis protocol")


def refused_url() -> QueueRefused:
    """The error for a URL that redis-py cannot use; the URL itself may hold a password."""
    return QueueRefused("the queue's URL must begin with redis://, rediss:// or unix://, with valid options")


def _code(error: Exception) -> str:
    """The error's first word, by which Redis names its kind.

    Only this word is told: an unknown command's error quotes the command, and the post with it.
    """
    kept: str | None = getattr(error, "status_code", None) or _CODES.get(type(error))
    first = str(error).partition(" ")[0] if isinstance(error, exceptions.ResponseError) else ""
    return kept or (first if first in _PASSING or first in _LASTING else "")


_CODES: Final[dict[type[Exception], str]] = {
    # Before redis-py 8 an error does not keep its code.
    exceptions.OutOfMemoryError: "OOM",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.NoPermissionError: "NOPERM",
}

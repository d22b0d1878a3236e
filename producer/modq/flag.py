"""A flag: what a webhook tells the site of one verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn, get_args

from modq.errors import InvalidFlag
from modq.post import Scalar
from modq.severity import SEVERITIES, Severity
from modq.signature import TOLERANCE, Headers, verify

Event = Literal["post.flagged", "post.passed", "endpoint.test"]
"""``endpoint.test`` is of no post: it only shows that webhooks arrive and that their signature is checked."""
EVENTS: Final[tuple[Event, ...]] = get_args(Event)


@dataclass(frozen=True, slots=True)
class Flag:
    """One verdict, as told to the site; it names the post and never holds its text."""

    type: Event
    timestamp: datetime
    """When the verdict was stored."""
    sequence: int
    """Grows with every event; events may arrive in another order."""
    source: str
    post_id: str
    content_sha256: str
    """SHA-256 of the judged text, in hexadecimal: tells which version of an edited post is meant."""
    label: Literal["safe", "toxic"]
    score: float
    """Probability of toxic, 0 to 1."""
    adapter: str
    policy: str
    lane: str
    published_at: datetime
    """When the queue accepted the post."""
    revision: int = 0
    """0 for the first verdict; a later rescan of the same content counts up."""
    rules: Mapping[str, float] = field(default_factory=dict)
    """Probability of each rule of the constitution that the post breaks, where the adapter tells them apart."""
    severity: Severity | None = None
    """Of the gravest of these rules."""
    truncated: bool = False
    conversation: str | None = None
    author: str | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    """The post's own metadata, given back."""
    webhook_id: str = ""
    """The same for every attempt to deliver this event: what was seen before can be ignored."""


def open_flag(secret: str | Sequence[str], headers: Headers, body: bytes, *, now: float | None = None, tolerance: float = TOLERANCE) -> Flag:
    """Check a webhook's signature and read it.

    Args:
        secret: The endpoint's secret, or several during a rotation.
        headers: All the headers of the request, names in any case.
        body: The bytes as they arrived, not parsed and written again.
        now: Seconds since 1970; by default the clock's.
        tolerance: Seconds that the webhook's time may differ from ``now``.

    Raises:
        InvalidFlag: answer 400 and nothing else; whatever headers and body are, no other error comes of them.
        InvalidSecret: one of our own secrets is malformed.
    """
    webhook_id = verify(secret, headers, body, now=now, tolerance=tolerance)
    event = _read_object(bytes(body))
    data = _get(event, "data", _object)
    told = {name: _get(data, name, read) for name, read in _DATA.items() if name in data or name not in _OPTIONAL}
    return Flag(type=_get(event, "type", _event), timestamp=_get(event, "timestamp", _time), webhook_id=webhook_id, **told)


def encode_flag(flag: Flag) -> bytes:
    """The body of the webhook that tells of ``flag``; ``open_flag`` gives back an equal flag."""
    data = {name: getattr(flag, name) for name in _DATA}
    data["published_at"] = _rfc3339(flag.published_at)
    data["rules"], data["metadata"] = dict(flag.rules), dict(flag.metadata)
    event = {"type": flag.type, "timestamp": _rfc3339(flag.timestamp), "data": data}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        return _object(json.loads(body.decode("utf-8"), parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        raise InvalidFlag("the webhook's body is not a JSON object in UTF-8") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _get(fields: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
    try:
        return read(fields[name])
    except (KeyError, ValueError):
        raise InvalidFlag(f"the webhook's {name} is missing or wrong: does a newer modq send it?") from None


def _event(value: object) -> str:
    return _one_of(EVENTS, value)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _one_of(allowed: Sequence[str], value: object) -> str:
    if value not in allowed:
        raise ValueError
    return _text(value)


def _label(value: object) -> str:
    return _one_of(("safe", "toxic"), value)


def _severity_or_none(value: object) -> str | None:
    return None if value is None else _one_of(SEVERITIES, value)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _probability(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError
    return float(value)


def _probabilities(value: object) -> dict[str, float]:
    return {name: _probability(score) for name, score in _object(value).items()}


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.utcoffset() is None:
        raise ValueError
    return time


_DATA: Final[Mapping[str, Callable[[Any], Any]]] = {
    "sequence": _count,
    "source": _text,
    "post_id": _text,
    "content_sha256": _text,
    "label": _label,
    "score": _probability,
    "rules": _probabilities,
    "severity": _severity_or_none,
    "truncated": _truth,
    "adapter": _text,
    "policy": _text,
    "revision": _count,
    "lane": _text,
    "conversation": _text_or_none,
    "author": _text_or_none,
    "published_at": _time,
    "metadata": _object,
}
_OPTIONAL: Final = frozenset({"rules", "severity", "truncated", "revision", "conversation", "author", "metadata"})

"""Sign webhooks and check their signatures, by Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import ItemsView, Iterable, Sequence
from typing import Any, Final, Protocol

from modq.errors import InvalidFlag, InvalidSecret

TOLERANCE: Final = 300
"""Seconds that a webhook's time may differ from the receiver's clock, either way."""

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = range(24, 65)
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


class Headers(Protocol):
    """The headers of a request, as any web framework gives them: names in any case, one value each."""

    def items(self) -> ItemsView[Any, Any] | Iterable[tuple[Any, Any]]:
        """Pairs of name and value."""
        ...


def new_secret() -> str:
    """A random secret for one endpoint; tell it to the receiver and to nobody else."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature`` for these headers and exactly these bytes.

    During a rotation send the signatures under both secrets, with a space between them.

    Raises:
        InvalidSecret: the secret is malformed.
        ValueError: the id holds a dot, which would make the signed content ambiguous.
    """
    if "." in webhook_id:
        raise ValueError("a webhook's id must not hold a dot")
    return _signature(_key(secret), webhook_id, str(timestamp), body)


def verify(secret: str | Sequence[str], headers: Headers, body: bytes, *, now: float | None = None, tolerance: float = TOLERANCE) -> str:
    """Check that a webhook was signed with the secret, or with one of several, and just now.

    Args:
        headers: All the headers of the request; three of them count.
        body: The bytes as they arrived, not parsed and written again.
        now: Seconds since 1970; by default the clock's.

    Returns:
        The webhook's id, the same for every attempt to deliver it: a receiver that has seen it has nothing left to do.

    Raises:
        InvalidFlag: it is not ours, was altered, or is too old.
        InvalidSecret: one of our own secrets is malformed.
    """
    keys = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    webhook_id, timestamp, given = _read(headers)
    _check_time(timestamp, time.time() if now is None else now, tolerance)
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidFlag("the body must be the bytes as they arrived")
    expected = [_signature(key, webhook_id, timestamp, bytes(body)).encode() for key in keys]
    signatures = given.encode("utf-8", "replace").split(b" ")
    # Every pair is compared, in constant time each, so that nothing can be learnt from how long it takes.
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures]
    if not any(matches):
        raise InvalidFlag("the webhook is not signed with our secret, or was altered on its way")
    return webhook_id


def _read(headers: Headers) -> tuple[str, str, str]:
    found = {}
    for name, value in headers.items():
        found[_text(name).lower()] = _text(value)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    if missing := [name for name in names if not found.get(name)]:
        raise InvalidFlag(f"the request has no {' and no '.join(missing)}: it is no signed webhook")
    webhook_id, timestamp, given = (found[name] for name in names)
    return webhook_id, timestamp, given


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _check_time(timestamp: str, now: float, tolerance: float) -> None:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise InvalidFlag("the webhook's timestamp is not a number of seconds")
    age = now - int(timestamp)
    if age > tolerance:
        raise InvalidFlag("the webhook is too old: it may be a replay, or our clock is wrong")
    if age < -tolerance:
        raise InvalidFlag("the webhook comes from the future: one of the two clocks is wrong")


def _key(secret: str) -> bytes:
    if not isinstance(secret, str) or not secret.startswith(_PREFIX):
        raise InvalidSecret(f"a webhook secret begins with {_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSecret(f"what follows {_PREFIX} in a webhook secret must be base64") from None
    if len(key) not in _SECRET_BYTES:
        raise InvalidSecret("a webhook secret holds 24 to 64 bytes")
    return key


def _signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((webhook_id.encode("utf-8", "replace"), timestamp.encode("utf-8", "replace"), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()

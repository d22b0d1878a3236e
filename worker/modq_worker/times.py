"""Times and spans as people type them."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def span(value: str) -> timedelta:
    """A span such as 90s, 15m, 24h or 7d.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        length = timedelta(seconds=float(value[:-1]) * _UNITS[value[-1:]])
    except (KeyError, ValueError, OverflowError):
        raise argparse.ArgumentTypeError("must look like 90s, 15m, 24h or 7d") from None
    if length < timedelta():
        raise argparse.ArgumentTypeError("must not be negative")
    return length


def moment(value: str) -> datetime:
    """A time, or so long ago; one without a time zone is this machine's.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        if value[-1:] in _UNITS:
            return datetime.now(UTC) - timedelta(seconds=float(value[:-1]) * _UNITS[value[-1]])
        then = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("must look like 90s, 15m, 2h, 7d or 2026-01-31T12:00:00Z") from None
    return then if then.tzinfo else then.astimezone()

"""What the answer to a webhook means for its delivery: pure, by the retry schedule of Standard Webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

WAITS: Final = (5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Seconds from one failed attempt to the next (https://www.standardwebhooks.com, "Retries"); after the last, no more."""

PATIENCE: Final = 5 * DAY
"""Seconds for which an endpoint may fail, whatever it is sent, before it is disabled."""

JITTER: Final = 0.2
"""Waits are lengthened by up to this part, so that what failed together does not come back together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt went: either a status, or the sentence that says why there is none."""

    status: int | None = None
    retry_after: float | None = None
    """Seconds that the endpoint asked us to wait."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a delivery."""

    state: Literal["delivered", "pending", "failed"]
    wait: float = 0.0
    """Seconds until the next attempt of a pending one."""
    status: int | None = None
    error: str | None = None
    disable: str | None = None
    """Why its endpoint is to be disabled at once."""
    blame: bool = True
    """Whether a failure is the endpoint's."""
    pause: float = 0.0
    """Seconds for which its endpoint wants nothing at all."""


def outcome(answer: Answer, attempts: int, luck: float) -> Outcome:
    """What becomes of a delivery whose attempt number ``attempts`` (from 1) was answered so.

    ``luck``, 0 to 1, chooses the jitter. An endpoint that answers 410 is disabled; its deliveries stay pending and
    go on when it is enabled again.
    """
    if answer.status is not None and 200 <= answer.status < 300:
        return Outcome("delivered", status=answer.status)
    error = answer.error or _told(answer.status)
    if attempts > len(WAITS):
        return Outcome("failed", status=answer.status, error=error, disable=_disable(answer))
    pause = min(answer.retry_after or 0.0, DAY) if answer.status in (429, 503) else 0.0
    wait = max(WAITS[attempts - 1], pause) * (1 + JITTER * luck)
    return Outcome("pending", wait, answer.status, error, _disable(answer), pause=pause)


def interrupted() -> Outcome:
    """Of a delivery whose attempt we broke off ourselves: it may have arrived, so it goes again, under the same id."""
    return Outcome("pending", error="the notifier was stopped during the attempt", blame=False)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, which holds seconds or a date; None when it is absent or nonsense."""
    if header is None:
        return None
    if header.strip().isdecimal() and len(header) < 10:
        return float(header)
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now.timestamp(), 0.0)


def _told(status: int | None) -> str:
    if status is not None and 300 <= status < 400:
        return f"the endpoint answered {status}: redirects are not followed"
    return f"the endpoint answered {status}"


def _disable(answer: Answer) -> str | None:
    return "the endpoint answered 410 Gone" if answer.status == 410 else None

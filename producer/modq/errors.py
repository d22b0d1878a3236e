"""The errors of modq, one small tree.

::

    ModqError
    ├── InvalidPost          the post itself is wrong: mend it, a retry is useless
    ├── QueueError
    │   ├── QueueUnavailable the queue could not be reached in time: retry the same post
    │   ├── QueueFull        the queue has no memory left: retry later
    │   └── QueueRefused     the queue said no (credentials, rights): mend the configuration
    ├── InvalidSecret        a webhook secret that is none: mend the configuration
    ├── SecretUnreadable     a file that should hold a URL with its password does not: mend the configuration
    ├── InvalidFlag          a webhook that is not ours, was altered, or is too old: answer 400
    └── MissingExtra         a command needs packages that are not installed
"""

from __future__ import annotations


class ModqError(Exception):
    """Base of every error that modq raises on purpose."""

    retryable = False
    """Whether trying the same call again, unchanged, can succeed."""


class InvalidPost(ModqError, ValueError):
    """The post cannot be judged as it is; ``reason`` is a stable code, ``detail`` a sentence.

    Neither ever holds the text of the post, so both are safe to log.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class QueueError(ModqError):
    """Base of what can go wrong between the producer and the queue."""

    confirmed = 0
    """Of ``submit_many``'s posts, so many from the first on are on the queue for certain; go on from there."""


class QueueUnavailable(QueueError):
    """The queue did not confirm in time. Retrying the same post is safe: it is judged once."""

    retryable = True


class QueueFull(QueueError):
    """The queue has no memory left. What was confirmed before is safe; retry this one later."""

    retryable = True


class QueueRefused(QueueError):
    """The queue answered no: wrong credentials, missing rights, or not a stream."""


class InvalidSecret(ModqError, ValueError):
    """A webhook secret is not ``whsec_`` and the base64 of 24 to 64 bytes."""


class SecretUnreadable(ModqError):
    """A file that a setting names, such as ``MODQ_REDIS_URL_FILE``, cannot be read or is empty."""


class InvalidFlag(ModqError, ValueError):
    """The webhook is not signed with our secret, was altered on its way, or is too old."""


class MissingExtra(ModqError):
    """A part of modq was asked for whose packages are not installed."""

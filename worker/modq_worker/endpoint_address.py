"""Whether an endpoint's URL is one that modq will post to."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from modq.errors import ModqError

MAX_CHARS = 2000


class InvalidEndpoint(ModqError, ValueError):
    """The URL is none that webhooks are sent to; the message never repeats it, since it may hold a password."""


def check(url: str, allow_private: bool) -> str:
    """The URL, when webhooks may be sent to it; checked when it is saved, and again each time it is used.

    ``allow_private`` allows http as well, for development.

    Raises:
        InvalidEndpoint: and why.
    """
    # urlsplit drops tabs and newlines in silence, and a client might not.
    if len(url) > MAX_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidEndpoint(f"An endpoint's URL must be at most {MAX_CHARS} printable ASCII characters without spaces.")
    parts = _split(url)
    if parts.scheme not in (("https", "http") if allow_private else ("https",)):
        raise InvalidEndpoint("An endpoint's URL must begin with https:// (for development, MODQ_ALLOW_PRIVATE_ENDPOINTS=true allows http://).")
    if "@" in parts.netloc:
        raise InvalidEndpoint("An endpoint's URL must not hold a user or password: webhooks are signed instead.")
    if not parts.hostname:
        raise InvalidEndpoint("An endpoint's URL must name a host.")
    return url


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        _ = parts.port
    except ValueError:
        raise InvalidEndpoint("An endpoint's URL must look like https://forum.example/webhooks/modq") from None
    return parts

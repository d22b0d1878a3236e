"""A connection on which a receiver can answer a webhook at short length only."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpcore

from modq.errors import ModqError

MAX_ANSWER_BYTES: Final = 32 * 1024
"""Of one answer, its headers and whatever comes before them included."""


class AnswerTooLong(ModqError):
    """A receiver answered at greater length than anybody needs."""


class CappedStream(httpcore.AsyncNetworkStream):
    """Gives up on an answer that goes on and on, at the raw bytes: below HTTP, where nothing has grown yet.

    Endless headers, an endless body and an endless series of `100 Continue` all end here, before they cost
    the time of parsing them. A write begins the next answer.
    """

    def __init__(self, below: httpcore.AsyncNetworkStream) -> None:
        self._below = below
        self._left = MAX_ANSWER_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        """What has arrived, ``max_bytes`` at most.

        Raises:
            AnswerTooLong: all that one answer may hold has been read.
        """
        if not self._left:
            raise AnswerTooLong(f"the endpoint's answer is longer than {MAX_ANSWER_BYTES} bytes")
        data = await self._below.read(min(max_bytes, self._left), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send; whatever is read from now on is another answer."""
        self._left = MAX_ANSWER_BYTES
        await self._below.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._below.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same connection under TLS, capped likewise."""
        return CappedStream(await self._below.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the connection below knows of itself."""
        return self._below.get_extra_info(info)

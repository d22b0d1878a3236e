"""Sends one webhook: signed, within a total deadline, however the receiver behaves."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import httpx

from modq.errors import ModqError
from modq.signature import sign
from modq_worker.delivery_outcome import Answer, retry_after
from modq_worker.endpoint_address import check

MAX_ANSWER_BYTES: Final = 16 * 1024
_DRAIN_SECONDS: Final = 0.5


class WebhookSender:
    """A pool of connections to endpoints; use it in ``async with``."""

    def __init__(self, *, deadline: float, connections: int, allow_private: bool) -> None:
        self._deadline = deadline
        self._allow_private = allow_private
        self._client = httpx.AsyncClient(
            # The only bound that a receiver cannot stretch is the total one, in `send`; httpx's are per read.
            timeout=deadline,
            follow_redirects=False,
            # No proxies and no passwords from the environment.
            trust_env=False,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30),
            headers={"user-agent": "modq", "accept": "*/*", "accept-encoding": "identity"},
        )

    async def __aenter__(self) -> WebhookSender:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.aclose()

    async def send(self, url: str, secrets: Sequence[str], webhook_id: str, body: bytes) -> Answer:
        """Post ``body``, signed with every secret at the present time; returns within the deadline, whatever happens.

        A 2xx counts as soon as its headers are here. What else went wrong is told in the answer, never raised.
        """
        try:
            async with asyncio.timeout(self._deadline):
                address, headers = check(url, self._allow_private), _headers(secrets, webhook_id, body)
                request = self._client.build_request("POST", address, content=body, headers=headers)
                response = await self._client.send(request, stream=True)
        except TimeoutError:
            return Answer(error=f"no answer within {self._deadline:g} s")
        except ModqError as error:
            return Answer(error=str(error))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(error=_reason(error))
        await _drain(response)
        return Answer(response.status_code, retry_after(response.headers.get("retry-after"), datetime.now(UTC)))


async def _drain(response: httpx.Response) -> None:
    """Read a short answer to its end, so that its connection can be used again; a long or slow one loses its connection."""
    with suppress(TimeoutError, httpx.HTTPError, httpx.StreamError, OSError):
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                size = 0
                async for chunk in response.aiter_raw():
                    size += len(chunk)
                    if size > MAX_ANSWER_BYTES:
                        break
        finally:
            await response.aclose()


def _headers(secrets: Sequence[str], webhook_id: str, body: bytes) -> dict[str, str]:
    timestamp = int(time.time())
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, webhook_id, timestamp, body) for secret in secrets),
    }


def _reason(error: Exception) -> str:
    """Why there is no answer; of a foreign text only what cannot have been made up by the receiver."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {getattr(cause, 'verify_message', '') or cause.reason or 'no reason given'}"
        if isinstance(cause, OSError) and cause.errno:
            # asyncio puts the address into its own text; a name look-up has negative numbers of its own.
            return f"the connection failed: {os.strerror(cause.errno) if cause.errno > 0 else cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return f"the connection failed: {type(error).__name__}"

"""Sends one webhook: signed, within a total deadline, however the receiver behaves."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import httpcore

from modq.errors import ModqError
from modq.signature import sign
from modq_worker.capped_stream import AnswerTooLong
from modq_worker.checked_network import CheckedNetwork
from modq_worker.delivery_outcome import Answer, retry_after
from modq_worker.endpoint_address import EndpointRules
from modq_worker.secret_box import SecretBox

_DRAIN_SECONDS: Final = 0.5


_HTTP_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
)


class CertificatesUnreadable(ModqError):
    """The file of certificates to trust cannot be read."""


class WebhookSender:
    """A pool of connections to endpoints; use it in ``async with``.

    Args:
        deadline: Seconds that one webhook may take in all.
        connections: How many there may be at once.
        rules: Where webhooks may go.
        box: Opens the secrets as the store keeps them.
        ca_file: Certificates (PEM) of authorities to trust besides the public ones.

    Raises:
        CertificatesUnreadable: there are none in ``ca_file``.
    """

    def __init__(
        self, *, deadline: float, connections: int, rules: EndpointRules, box: SecretBox | None = None, ca_file: Path | None = None
    ) -> None:
        self._deadline = deadline
        self._rules = rules
        self._box = box or SecretBox()
        # No redirects, no decompression, no proxies and no passwords from the environment: httpcore has none of these.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trusting(ca_file),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30,
            network_backend=CheckedNetwork(rules),
        )

    async def __aenter__(self) -> WebhookSender:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._pool.aclose()

    async def send(self, url: str, secrets: Sequence[str], webhook_id: str, body: bytes) -> Answer:
        """Post ``body``, signed with every secret at the present time; returns within the deadline, whatever happens.

        A 2xx counts as soon as its headers are here. What else went wrong is told in the answer, never raised.
        """
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._pool.handle_async_request(self._request(url, secrets, webhook_id, body))
        except TimeoutError:
            return Answer(error=f"no answer within {self._deadline:g} s")
        except ModqError as error:
            return Answer(error=str(error))
        except (*_HTTP_ERRORS, OSError) as error:
            return Answer(error=_reason(error))
        await _drain(response)
        return Answer(response.status, retry_after(_header(response, b"retry-after"), datetime.now(UTC)))

    def _request(self, url: str, kept: Sequence[str], webhook_id: str, body: bytes) -> httpcore.Request:
        target = self._rules.check(url)
        headers = _headers(target, [self._box.open(secret) for secret in kept], webhook_id, body)
        # The only bound that a receiver cannot stretch is the total one, in `send`; these are per step.
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self._deadline)
        return httpcore.Request("POST", target, headers=headers, content=body, extensions={"timeout": timeout})


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    context = httpcore.default_ssl_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CertificatesUnreadable(f"No certificates can be read from the file that MODQ_WEBHOOK_CA_FILE names ({type(error).__name__}).") from None
    return context


async def _drain(response: httpcore.Response) -> None:
    """Read a short answer to its end, so that its connection can be used again; a long or slow one loses its connection."""
    with suppress(TimeoutError, AnswerTooLong, *_HTTP_ERRORS, OSError):
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                async for _ in response.aiter_stream():
                    pass
        finally:
            await response.aclose()


def _headers(url: str, secrets: Sequence[str], webhook_id: str, body: bytes) -> dict[bytes | str, bytes | str]:
    timestamp = int(time.time())
    return {
        "host": urlsplit(url).netloc,
        "user-agent": "modq",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, webhook_id, timestamp, body) for secret in secrets),
    }


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), None)


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

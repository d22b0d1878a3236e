"""The network below the webhooks: it looks a host up once, and connects to an address that was checked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import httpcore

from modq_worker.capped_stream import CappedStream
from modq_worker.endpoint_address import EndpointRules

MOST_TRIED = 4
"""Addresses of one host that are tried, one after the other."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connections to checked addresses only.

    Above it, TLS and the Host header go on using the URL's name, so that a certificate must be the name's. A connection
    that is kept and used again leads where it was checked to lead: names are looked up for new connections only.
    """

    def __init__(self, rules: EndpointRules, below: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._rules = rules
        self._below = below or httpcore.AnyIOBackend()
        self._looking: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of ``host`` that answers.

        Raises:
            InvalidEndpoint: the host has an address that webhooks may not be sent to, or none; nothing was connected to.
            httpcore.ConnectError, httpcore.ConnectTimeout: none of its addresses answers.
        """
        addresses = (await self._addresses(host, port))[:MOST_TRIED]
        # A share of the time for each, so that one that swallows packets leaves some for the next.
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return CappedStream(await self._below.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return CappedStream(await self._below.connect_tcp(addresses[-1], port, share, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await self._below.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        # A name server that hangs holds a thread beyond any deadline; one thread per host, whoever asks for it.
        if (looking := self._looking.get((host, port))) is None:
            looking = asyncio.get_running_loop().run_in_executor(None, self._rules.addresses, host, port)
            self._looking[host, port] = looking
            looking.add_done_callback(lambda done: self._looked(host, port, done))
        return await asyncio.shield(looking)

    def _looked(self, host: str, port: int, done: asyncio.Future[Sequence[str]]) -> None:
        del self._looking[host, port]
        if not done.cancelled():
            # Nobody may be waiting any more; asyncio would complain of an exception that nobody saw.
            done.exception()

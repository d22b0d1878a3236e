"""Has the pretend forum told of verdicts for as long as it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from modq_worker.database import create_engine
from modq_worker.demo_forum import WEBHOOKS
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import Endpoints, NoSuchEndpoint
from modq_worker.stack import Stack
from modq_worker.store_errors import StoreError

_ON_THIS_MACHINE: Final = "http://127.0.0.1:"


@contextmanager
def forum_is_told(stack: Stack, source: str) -> Iterator[None]:
    """Inside the block, the stack's forum gets a webhook for every toxic post of ``source``.

    Endpoints of forums that ran here before are forgotten; this one's is disabled afterwards, so that its
    deliveries can still be looked at.
    """
    engine = create_engine(stack.database_url)
    endpoints = Endpoints(engine, EndpointRules(allow_private=True))
    try:
        for endpoint in endpoints.all():
            if endpoint.url.startswith(_ON_THIS_MACHINE) and endpoint.url.endswith(WEBHOOKS):
                endpoints.remove(endpoint.id)
        number = endpoints.add(f"{stack.forum_url}{WEBHOOKS}", stack.forum_secret, source=source)
        try:
            yield
        finally:
            # Removed by hand meanwhile, or the store went first: then there is nobody to disable it for.
            with suppress(NoSuchEndpoint, StoreError):
                endpoints.disable(number, "the pretend forum ended")
    finally:
        engine.dispose()

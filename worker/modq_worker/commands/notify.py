"""Run the notifier, which sends the webhooks, until it is asked to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from modq_worker.database import conninfo, create_engine
from modq_worker.endpoint_address import EndpointRules
from modq_worker.notifier import Notifier, listen
from modq_worker.observability import set_up_logging
from modq_worker.outbox import Outbox
from modq_worker.secret_box import SecretBox
from modq_worker.settings import Settings, settings
from modq_worker.webhook import WebhookSender

STOP_SECONDS = 5.0
_LEASE_MARGIN_SECONDS = 5.0

log = structlog.get_logger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: there are none, all is in the settings."""


def run(arguments: argparse.Namespace) -> int:
    """Notify until SIGTERM or SIGINT; several may run at once, on any machine."""
    configured = settings()
    set_up_logging(configured.log_level, configured.log_format)
    asyncio.run(_notify(configured, configured.database()))
    return 0


async def _notify(configured: Settings, database_url: str) -> None:
    stop = _stop_on_signals()
    # Name look-ups run in the loop's threads, and slow ones must not hold up the rest.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(configured.webhook_in_flight))
    engine = create_engine(database_url, session={"statement_timeout": "10s", "application_name": "modq-notify"})
    outbox = Outbox(engine, lease_seconds=configured.webhook_deadline_seconds + _LEASE_MARGIN_SECONDS)
    sender = WebhookSender(
        deadline=configured.webhook_deadline_seconds,
        connections=configured.webhook_in_flight,
        rules=EndpointRules.of(configured),
        box=SecretBox.of(configured),
        ca_file=configured.webhook_ca_file,
    )
    async with sender:
        notifier = Notifier(
            outbox,
            sender,
            in_flight=configured.webhook_in_flight,
            per_endpoint=configured.webhook_in_flight_per_endpoint,
            stall_seconds=configured.stall_seconds,
        )
        listener = asyncio.create_task(listen(conninfo(engine), notifier.wake))
        log.info("notifying")
        await notifier.run(stop)
        listener.cancel()
    log.info("stopped")


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()

    def ask() -> None:
        stop.set()
        # A database or a name server that hangs must not delay the end: whatever is not recorded is sent again.
        last_resort = threading.Timer(STOP_SECONDS, _end)
        last_resort.daemon = True
        last_resort.start()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ask)
    return stop


def _end() -> None:
    sys.stderr.flush()
    os._exit(0)

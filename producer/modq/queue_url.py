"""Where the queue is, when the caller does not say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

LOCALHOST = "redis://localhost:6379/0"


def queue_url(given: str | None = None) -> str:
    """The queue's URL: the one given, else ``MODQ_REDIS_URL``, else that of the ``modq up`` that runs in this folder, else localhost.

    ``MODQ_HOME`` names another folder than ``.modq`` for the stack that runs.
    """
    return given or os.environ.get("MODQ_REDIS_URL") or _running_stack() or LOCALHOST


def place(url: str) -> str:
    """The server and database that ``url`` names, without its user and password, for people and for errors."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return parts.path
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "localhost"
        return f"{host}:{parts.port or 6379}{parts.path.rstrip('/')}"
    except ValueError:
        return "an unreadable address"


def _running_stack() -> str | None:
    home = Path(os.environ.get("MODQ_HOME") or ".modq")
    try:
        return str(json.loads((home / "running.json").read_text())["redis_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

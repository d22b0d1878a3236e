"""Where the queue is, when the caller does not say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from modq.secret_file import read_secret

LOCALHOST = "redis://localhost:6379/0"


def queue_url(given: str | None = None) -> str:
    """The queue's URL: the one given, else ``MODQ_REDIS_URL``, else what the file ``MODQ_REDIS_URL_FILE`` holds,
    else that of the ``modq up`` that runs in this folder, else localhost.

    ``MODQ_HOME`` names another folder than ``.modq`` for the stack that runs. A ``rediss://`` server must show a
    certificate by the authorities in ``MODQ_REDIS_CA_FILE``, else by those that the system trusts.

    Raises:
        SecretUnreadable: ``MODQ_REDIS_URL_FILE`` names a file that cannot be read.
    """
    url = given or os.environ.get("MODQ_REDIS_URL") or _in_file() or _running_stack() or LOCALHOST
    return with_verified_tls(url, os.environ.get("MODQ_REDIS_CA_FILE"))


def with_verified_tls(url: str, ca_file: str | Path | None) -> str:
    """The same URL, saying aloud that a ``rediss://`` server must show a certificate for its name, unless it says otherwise.

    redis-py takes that for granted; Celery, told nothing, believes any certificate.
    """
    address, _, query = url.partition("?")
    if not address.lower().startswith("rediss://"):
        return url
    said = parse_qs(query)
    more = {"ssl_cert_reqs": "required"} if "ssl_cert_reqs" not in said else {}
    if ca_file and "ssl_ca_certs" not in said:
        more["ssl_ca_certs"] = str(ca_file)
    return f"{address}?{'&'.join(filter(None, (query, urlencode(more))))}"


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


def _in_file() -> str | None:
    path = os.environ.get("MODQ_REDIS_URL_FILE")
    return read_secret(path, "MODQ_REDIS_URL_FILE") if path else None


def _running_stack() -> str | None:
    home = Path(os.environ.get("MODQ_HOME") or ".modq")
    try:
        return str(json.loads((home / "running.json").read_text())["redis_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""How a process that hangs, or can only do harm, ends: at once, for a supervisor to start it again."""

from __future__ import annotations

import os
from typing import Final, NoReturn

import structlog

HUNG: Final = 70
"""Exit status of a process that ended itself (EX_SOFTWARE)."""

log = structlog.get_logger(__name__)


def end_process(why: str) -> NoReturn:
    """End this process without any tidying up, which in a hung process would hang as well."""
    log.critical("ending", why=why)
    os._exit(HUNG)

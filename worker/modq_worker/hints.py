"""How to tell people what to type next, and URLs without their passwords."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path


def called_as() -> str:
    """What the user typed to get here: ``modq``, or ``python3 run.py``, which says so by MODQ_CALLED_AS."""
    return os.environ.get("MODQ_CALLED_AS", "modq")


def home_prefix(home: Path) -> str:
    """What has to precede a command for it to find the stack of ``home``: nothing where the settings lead there anyway."""
    if home.absolute() == Path(os.environ.get("MODQ_HOME", ".modq")).absolute():
        return ""
    try:
        home = home.absolute().relative_to(Path.cwd())
    except ValueError:
        home = home.absolute()
    return f"MODQ_HOME={shlex.quote(str(home))} "


def masked(url: str) -> str:
    """``url`` with stars for its password."""
    return re.sub(r"(://[^:@/]*:)[^@/]*@", r"\1***@", url)

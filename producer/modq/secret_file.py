"""Secrets that lie in files, as Docker and Kubernetes hand them out, so that no environment has to hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from modq.errors import SecretUnreadable

_LONGEST: Final = 64 * 1024


def read_secret(path: str | Path, setting: str) -> str:
    """What the file holds, without the space around it.

    Raises:
        SecretUnreadable: it cannot be read, is empty, or is no text; the message names ``setting``, and nothing of the content.
    """
    try:
        with Path(path).open("rb") as file:
            secret = file.read(_LONGEST).decode().strip()
    except (OSError, ValueError) as error:
        raise SecretUnreadable(f"the file that {setting} names cannot be read ({type(error).__name__})") from None
    if not secret:
        raise SecretUnreadable(f"the file that {setting} names is empty")
    return secret

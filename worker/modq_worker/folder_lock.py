"""One stack at a time in one folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from modq.errors import ModqError

PATIENCE_SECONDS: Final = 15.0


class FolderInUse(ModqError):
    """Another stack runs in the folder."""


class FolderLock:
    """A lock on ``folder`` that ends with the last process that holds its file descriptor, which entering it gives.

    Children that are given the descriptor hold the lock as well, so a folder is free only when all of them are gone.

    Raises:
        FolderInUse: the folder is taken; at once if its owner lives, else when its children are slow to end.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._descriptor = -1

    def __enter__(self) -> int:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take()
        except BaseException:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        return self._descriptor

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def _take(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._try():
            owner = os.pread(self._descriptor, 20, 0).decode()
            if _lives(owner) or time.monotonic() > deadline:
                raise FolderInUse(f"A modq stack already runs in {self._path.parent} (process {owner or 'unknown'}): stop it first, or use another folder.")
            time.sleep(0.05)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError):
        return False
    return True

"""The embedded default: a real Valkey and a real Postgres as child processes, their data in one folder."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from modq_worker.folder_lock import FolderLock
from modq_worker.postgres_server import PostgresServer
from modq_worker.private_files import private_folder
from modq_worker.valkey_server import ValkeyServer

__all__ = ["EmbeddedServers", "PostgresServer", "ValkeyServer"]


class EmbeddedServers:
    """Both servers, running and answering inside the ``with`` block; enter it from the main thread.

    Passwords are made once and kept in the home, which other users cannot read. The servers end with this process,
    however it ends (on Linux), and data that was confirmed is there again the next time. Without ``queue`` or ``store`` that server is left out.

    Raises:
        FolderInUse: another stack runs in ``home``.
        ChildFailed: a server did not start, and why.
    """

    def __init__(self, home: Path, *, fast: bool = False, appendonly: bool = True, queue: bool = True, store: bool = True) -> None:
        self.home = private_folder(home)
        self._queue = queue
        self._store = store
        self._lock = FolderLock(self.home)
        self._fast = fast
        self._appendonly = appendonly
        self._exits = ExitStack()

    def __enter__(self) -> EmbeddedServers:
        with ExitStack() as exits:
            # The servers hold the lock too: after a kill -9, the next stack waits until they have really ended.
            lock = exits.enter_context(self._lock)
            logs = private_folder(self.home / "logs")
            for name in ("valkey", "postgres"):
                (logs / f"{name}.log").unlink(missing_ok=True)
            if self._queue:
                valkey = ValkeyServer(self.home / "valkey", log=logs / "valkey.log", appendonly=self._appendonly, keep=[lock])
                self.valkey = exits.enter_context(valkey)
            if self._store:
                postgres = PostgresServer(self.home / "postgres", log=logs / "postgres.log", fast=self._fast, keep=[lock])
                self.postgres = exits.enter_context(postgres)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._exits.close()

    @property
    def redis_url(self) -> str:
        """Of the queue, with its password."""
        return self.valkey.url

    @property
    def database_url(self) -> str:
        """Of the store, with its password."""
        return self.postgres.url()

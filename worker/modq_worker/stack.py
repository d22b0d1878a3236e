"""The whole of modq on one machine: servers, tables, workers, notifier and, if wanted, a pretend forum."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from redis import RedisError

from modq.errors import ModqError
from modq.signature import new_secret
from modq_worker.embedded import EmbeddedServers
from modq_worker.migrate import migrate
from modq_worker.ports import free_port
from modq_worker.private_files import last_line, private_folder, write_private
from modq_worker.secret_box import new_key
from modq_worker.settings import OWN_SECRET_KEY, RUNNING_STACK
from modq_worker.stream import ALIVE, connect
from modq_worker.supervisor import Program, Supervisor

READY_SECONDS: Final = 300.0
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Calls this machine itself, whatever proxy is set."""


class StackFailed(ModqError):
    """A part of the stack did not come up."""


class Stack:
    """Everything runs inside the ``with`` block, and nothing after it; enter it from the main thread.

    Args:
        home: Where data, logs and passwords are kept, closed to other users.
        tell: Called with a sentence when something happened that a person should know.
        redis_url: A queue of one's own, instead of an embedded one; ``database_url`` likewise.

    Raises:
        FolderInUse, ChildFailed, StoreError, StackFailed: what could not be started, and why.
    """

    def __init__(
        self,
        home: Path,
        tell: Callable[[str], None],
        *,
        workers: int = 1,
        forum: bool = False,
        redis_url: str | None = None,
        database_url: str | None = None,
    ) -> None:
        self.home = private_folder(home)
        self.forum_url: str | None = None
        self.forum_secret = new_secret() if forum else ""
        self._workers = [f"worker-{number + 1}" for number in range(workers)]
        self._servers = EmbeddedServers(self.home, queue=redis_url is None, store=database_url is None)
        self._redis_url, self._database_url = redis_url, database_url
        self._programs = Supervisor(private_folder(self.home / "logs"), tell)
        self._exits = ExitStack()

    @property
    def redis_url(self) -> str:
        """Of the queue, with its password."""
        return self._redis_url or self._servers.redis_url

    @property
    def database_url(self) -> str:
        """Of the store, with its password."""
        return self._database_url or self._servers.database_url

    def __enter__(self) -> Stack:
        with ExitStack() as exits:
            exits.enter_context(self._servers)
            migrate(self.database_url)
            exits.callback(self._programs.stop)
            self._start_programs()
            self._announce()
            exits.callback((self.home / RUNNING_STACK).unlink, missing_ok=True)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._exits.close()

    def look_after(self) -> None:
        """Start again what has ended; call it a few times a second."""
        self._programs.look()

    def wait_until_ready(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until every worker has its model and the forum answers, calling ``meanwhile`` a few times a second.

        Raises:
            StackFailed: a program ended instead, or it took five minutes.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not (self._forum_answers() and self._workers_alive()):
            for name in self._programs.ended():
                log = self._programs.log_of(name)
                raise StackFailed(f"{name} ended {self._programs.how_it_ended(name)} before it was ready: {last_line(log)} (its log: {log})")
            if time.monotonic() > deadline:
                raise StackFailed(f"not ready after {READY_SECONDS:.0f} s; the logs are in {self.home / 'logs'}")
            meanwhile()
            time.sleep(0.1)

    def forum_state(self) -> dict[str, Any]:
        """What the forum has received: ``received``, ``refused``, ``events`` and ``hidden``."""
        with _DIRECT.open(f"{self.forum_url}/state.json", timeout=5) as answer:
            state: dict[str, Any] = json.load(answer)
            return state

    def _start_programs(self) -> None:
        modq = (sys.executable, "-m", "modq")
        environment = self._environment()
        # Before the notifier: its name is not to be looked for in vain.
        if self.forum_secret:
            port = free_port()
            self.forum_url = f"http://127.0.0.1:{port}"
            command = (sys.executable, "-m", "modq_worker.demo_forum", "--port", str(port))
            self._programs.start(Program("forum", command, environment | {"MODQ_FORUM_SECRET": self.forum_secret}))
            # The forum is on this machine and speaks plain http.
            environment |= {"MODQ_ALLOW_PRIVATE_ENDPOINTS": "true"}
        for name in self._workers:
            self._programs.start(Program(name, (*modq, "work", "--name", f"{name}@{socket.gethostname()}"), environment))
        self._programs.start(Program("notifier", (*modq, "notify"), environment))

    def _environment(self) -> dict[str, str]:
        """By environment and not by command line, which everybody on the machine can read."""
        connections = {"MODQ_REDIS_URL": self.redis_url, "MODQ_DATABASE_URL": self.database_url, "MODQ_HOME": str(self.home)}
        return {**os.environ, **connections, **self._secret_key(), "PYTHONUNBUFFERED": "1"}

    def _secret_key(self) -> dict[str, str]:
        """The key for the secrets of the embedded store, which the commands of a second terminal find in the same file."""
        file = self.home / OWN_SECRET_KEY
        if self._database_url is not None or os.environ.get("MODQ_SECRET_KEY") or os.environ.get("MODQ_SECRET_KEY_FILE"):
            return {}
        if not file.exists():
            write_private(file, new_key())
        return {"MODQ_SECRET_KEY_FILE": str(file)}

    def _announce(self) -> None:
        """For the commands of a second terminal; see settings.py."""
        running = {"redis_url": self.redis_url, "database_url": self.database_url, "pid": os.getpid()}
        write_private(self.home / RUNNING_STACK, json.dumps(running))

    def _workers_alive(self) -> bool:
        mine = [f"{ALIVE}{socket.gethostname()}:{self._programs.pid(name)}:*" for name in self._workers]
        try:
            with connect(self.redis_url) as redis:
                return all(any(redis.scan_iter(pattern, count=1000)) for pattern in mine)
        except RedisError:
            return False

    def _forum_answers(self) -> bool:
        try:
            return self.forum_url is None or bool(self.forum_state())
        except (OSError, urllib.error.URLError):
            return False

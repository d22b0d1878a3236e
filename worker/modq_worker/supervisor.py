"""Keeps a few child processes running: starts them, starts them again when they end, stops them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from modq_worker.child import start_child

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
_LONG_LIFE: Final = 30.0
"""A program that lived for so many seconds is started again at once."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, under the name that its log has."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Running:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    pause: float = 0.0
    due: float | None = None


class Supervisor:
    """Runs programs as children that end with this process, each with its log ``NAME.log`` in ``logs``.

    Args:
        tell: Called with a sentence when a program ended and is started again.
    """

    def __init__(self, logs: Path, tell: Callable[[str], None]) -> None:
        self._logs = logs
        self._tell = tell
        self._running: dict[str, _Running] = {}

    def start(self, program: Program) -> None:
        """Start ``program``; the log of the run before is kept as ``NAME.log.1``."""
        log = self.log_of(program.name)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        self._running[program.name] = _Running(program, self._spawn(program), time.monotonic())

    def log_of(self, name: str) -> Path:
        """Where the program's output goes."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int:
        """The process that the program runs as now."""
        return self._running[name].process.pid

    def ended(self) -> list[str]:
        """The names of the programs that do not run at the moment."""
        return [name for name, running in self._running.items() if running.process.poll() is not None]

    def how_it_ended(self, name: str) -> str:
        """``with status 1`` or ``by signal 9``, of a program that does not run."""
        status = self._running[name].process.returncode
        return f"by signal {-status}" if status < 0 else f"with status {status}"

    def look(self) -> None:
        """Start again what has ended, with growing pauses for what ends at once; call it a few times a second."""
        for name in self.ended():
            running = self._running[name]
            if running.due is None:
                self._plan(running)
            elif time.monotonic() >= running.due:
                running.process, running.started, running.due = self._spawn(running.program), time.monotonic(), None

    def stop(self, patience: float = 5.0) -> None:
        """End all of them in good order, and after ``patience`` seconds, or an interruption, by force."""
        processes = [running.process for running in self._running.values()]
        self._running.clear()
        try:
            for process in processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + patience
            while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()

    def _plan(self, running: _Running) -> None:
        now = time.monotonic()
        lived = now - running.started
        running.pause = _FIRST_PAUSE if lived > _LONG_LIFE else min(_LONGEST_PAUSE, max(_FIRST_PAUSE, running.pause * 2))
        running.due = now + running.pause
        name = running.program.name
        self._tell(f"{name} ended ({self.how_it_ended(name)}) and is started again; its log: {self.log_of(name)}")

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        # Work in progress is safe on the queue and in the store, so a child whose parent is gone needs no goodbye.
        return start_child(program.command, death_signal=signal.SIGKILL, log=self.log_of(program.name), environment=program.environment)


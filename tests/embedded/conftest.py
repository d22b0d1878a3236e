"""Commands of modq as a user starts them, and a way to see what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class Command:
    """``modq`` in a folder of its own; every process that comes of it can be found again."""

    def __init__(self, folder: Path, *words: str, **settings: str) -> None:
        self.folder = folder
        self._mark = uuid.uuid4().hex
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MODQ_")}
        environment |= {"MODQ_TEST_MARK": self._mark, "PYTHONUNBUFFERED": "1"} | settings
        self._output = folder / f"output-{self._mark}"
        with self._output.open("wb") as output:
            self.popen = subprocess.Popen([sys.executable, "-m", "modq", *words], cwd=folder, env=environment, stdout=output, stderr=output)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_for(self, words: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.output:
            assert self.popen.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def processes(self) -> list[str]:
        """What runs of it: by its mark, or, since servers overwrite their environment, by where it works."""
        return [_name(process) for process in Path("/proc").glob("[0-9]*") if self._owns(process)]

    def _owns(self, process: Path) -> bool:
        try:
            marked = self._mark.encode() in (process / "environ").read_bytes()
            where = (process / "cwd").readlink()
        except OSError:  # it has ended, or is a zombie, or is another user's
            return False
        return marked or where.is_relative_to(self.folder / ".modq")


def _name(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def start(*words: str, folder: Path = tmp_path, **settings: str) -> Command:
        started.append(Command(folder, *words, **settings))
        return started[-1]

    yield start
    for each in started:
        each.popen.kill()
        each.popen.wait()


def wait_until(condition: Callable[[], object], seconds: float = 10) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

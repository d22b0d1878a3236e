"""The ready classifiers that an adapter is compared with: each is installed into an environment of its own, and asked through a pipe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modq.errors import ModqError
from modq_training.evaluation import Scorer
from modq_worker.verdict import Score


@dataclass(frozen=True, slots=True)
class Ready:
    """A classifier that anybody can install."""

    name: str
    """Of its package."""
    version: str
    licence: str
    what: str


READY: Final = (
    Ready("toxic-comment-classifier", "0.3.0", "MIT", "a bidirectional LSTM trained on Jigsaw's comments, by TensorFlow"),
    Ready("alt-profanity-check", "1.9.1", "MIT", "a linear model of words"),
    Ready("better-profanity", "0.7.0", "MIT", "a list of words and their spellings"),
)


class ReadyFailed(ModqError):
    """A ready classifier could not be installed, or ended before it had answered."""


@dataclass(frozen=True, slots=True)
class Running:
    """A ready classifier that answers."""

    scorer: Scorer
    download_bytes: int
    """Of its own files that are no code: what it learnt, without the libraries that it needs."""


@contextmanager
def running(ready: Ready, *, threads: int = 1, folder: Path | None = None) -> Iterator[Running]:
    """Install ``ready`` where it is not installed yet, start it, and end it afterwards.

    Raises:
        ReadyFailed: it cannot be installed or does not start; while it judges, that it ended.
    """
    home = install(ready, folder or cache_folder())
    log = home / "stderr.log"
    program = Path(__file__).with_name("ready_program.py")
    quiet = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    # Nothing of modq's own environment: it has its own packages.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [home / "bin" / "python", "-I", program, ready.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=inherited | quiet,
            text=True,
        ) as process,
    ):
        try:
            about = _answer(process, ready, log)

            def scorer(texts: Sequence[str]) -> Sequence[Score]:
                assert process.stdin is not None
                process.stdin.write(json.dumps(list(texts)) + "\n")
                process.stdin.flush()
                return [Score(min(max(score, 0.0), 1.0)) for score in _answer(process, ready, log)]

            yield Running(scorer, about["bytes"])
        finally:
            process.kill()


def install(ready: Ready, folder: Path) -> Path:
    """The environment of ``ready`` in ``folder``; made there once, whole or not at all."""
    home = folder / f"{ready.name}-{ready.version}"
    done = home / "installed"
    if done.exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    print(f"Installing {ready.name} {ready.version} into {home} ...", file=sys.stderr)  # noqa: T201
    python = str(home / "bin" / "python")
    for command in ([sys.executable, "-m", "venv", str(home)], [python, "-m", "pip", "install", "--quiet", f"{ready.name}=={ready.version}"]):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise ReadyFailed(f"{ready.name} cannot be installed: {(made.stderr.strip().splitlines() or ['no reason was given'])[-1]}")
    done.touch()
    return home


def cache_folder() -> Path:
    """Where the environments lie: with the base models, in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modq" / "ready"


def find(names: str) -> list[Ready]:
    """The ready classifiers of a list with commas between, or all of them for ``all``.

    Raises:
        ReadyFailed: there is no such one.
    """
    by_name = {ready.name: ready for ready in READY}
    wanted = list(by_name) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in by_name]:
        raise ReadyFailed(f"{unknown[0]} is no ready classifier that modq knows: {', '.join(by_name)}.")
    return [by_name[name] for name in wanted]


def _answer(process: subprocess.Popen[str], ready: Ready, log: Path) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise ReadyFailed(f"{ready.name} ended before it had answered; {log} may say why.")
    return json.loads(line)

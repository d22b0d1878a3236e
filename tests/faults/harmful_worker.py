"""A real worker, with a judge that goes by marks in the text, that dies where it is told to.

``FAULT_AT`` names the points; only the first worker to come there dies of each.
The queue's guarantees do not depend on the model, and a judge without one starts in a second.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from tests.faults.deaths import die

from modq_worker.verdict import Score

CALLS_BEFORE_DEATH = 3
PASS_SECONDS = 0.05
"""Of several texts: at the usual rate a worker is hardly ever idle, and whoever kills it catches it with posts in hand."""


class MarkJudge:
    """Judges 64 texts a pass by the words in them; ``RAISE`` makes it raise, ``KILL`` kills its process, ``HANG`` hangs it, ``SLOW`` takes it a second a pass."""

    adapter = SimpleNamespace(id="marks@0", threshold=0.5)

    @classmethod
    def load(cls, *_: object, **__: object) -> MarkJudge:
        # As a model takes its time.
        time.sleep(float(os.environ.get("FAULT_LOAD_SECONDS", "0")))
        return cls()

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        scores: list[Score] = []
        for start in range(0, len(texts), 64):
            before_pass()
            for text in texts[start : start + 64]:
                if "RAISE" in text:
                    raise RuntimeError("as the post asked")
                if "KILL" in text:
                    os.kill(os.getpid(), signal.SIGKILL)
                if "HANG" in text:
                    time.sleep(3600)
                scores.append(Score(0.9 if "toxic" in text else 0.1))
            time.sleep(1 if any("SLOW" in text for text in texts) else PASS_SECONDS if len(texts) > 1 else 0)
        return scores


def die_after(point: str, owner: type, name: str, *, calls_before: int = CALLS_BEFORE_DEATH) -> None:
    """Let the method do its work a few times, then die right after it."""
    method: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def and_die(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        result = method(*args, **kwargs)
        # Reading and claiming count when they brought something.
        calls += result != []
        if calls >= calls_before:
            die(point)
        return result

    setattr(owner, name, and_die)


def die_soon(point: str) -> None:
    """Die while Postgres is at the statement that is sent now, or has just committed it and nobody knows."""
    threading.Timer(0.002, die, [point]).start()


def set_up(point: str) -> None:
    """Arrange for death at ``point``, if it is one of a worker's."""
    from sqlalchemy import Engine, event

    from modq_worker.stream import Inbox
    from modq_worker.tasks import Drain
    from modq_worker.verdict_store import VerdictStore

    if point == "after_read":
        die_after(point, Inbox, "read_new")
        die_after(point, Inbox, "read_soon")
    elif point == "after_classify":
        die_after(point, Drain, "_decide")
    elif point == "during_insert":
        statements = iter(range(1_000_000))
        event.listen(Engine, "before_cursor_execute", lambda *_: next(statements) >= CALLS_BEFORE_DEATH and die_soon(point))
    elif point == "after_commit":
        die_after(point, VerdictStore, "save")
    elif point == "after_acknowledge":
        die_after(point, Inbox, "acknowledge")
    elif point == "during_recovery":
        die_after(point, Inbox, "claim_abandoned", calls_before=1)


if __name__ == "__main__":
    module = types.ModuleType("modq_worker.classifier")
    module.Classifier = MarkJudge  # type: ignore[attr-defined]
    sys.modules["modq_worker.classifier"] = module
    for point in os.environ.get("FAULT_AT", "").split():
        set_up(point)
    from modq.cli import main

    sys.exit(main(["work", *sys.argv[1:]]))

"""The checkpoint: what a training run leaves behind every now and then, so that a later session goes on as if it had not ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import torch

from modq.errors import ModqError
from modq_training.recipe import Recipe

CHECKPOINT = "checkpoint.pt"
SECONDS = 120
"""At most so long a run's work is lost when it is killed."""


@dataclass(frozen=True, slots=True)
class Best:
    """The step whose weights are kept so far, and its figures on the validation texts."""

    step: int = 0
    roc_auc: float = 0.0
    rule_roc_auc: float | None = None

    def quality(self, rules_count: float) -> float:
        """What decides which step is best, the rules counting as in the loss."""
        return self.roc_auc if self.rule_roc_auc is None else (self.roc_auc + rules_count * self.rule_roc_auc) / (1 + rules_count)


class OtherRun(ModqError):
    """The checkpoint was left by a run with another recipe, other data or another seed."""


class Checkpoint:
    """The one of a run, written in one go, so that a kill leaves the last one or the one before."""

    def __init__(self, path: Path, fingerprint: str, trained: Sequence[torch.nn.Parameter], optimizer: Any, schedule: Any) -> None:
        self.path = path
        self._fingerprint = fingerprint
        self._trained = trained
        self._optimizer = optimizer
        self._schedule = schedule
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last one is old."""
        return time.monotonic() - self._saved > SECONDS

    def save(self, step: int, best: Best) -> None:
        """Replace the last one; ``load`` gives back what this is given."""
        state = {
            "run": self._fingerprint,
            "trained": [parameter.detach() for parameter in self._trained],
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": torch.get_rng_state(),
            "progress": (step, *astuple(best)),
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)
        self._saved = time.monotonic()

    def load(self) -> tuple[int, Best]:
        """Go back to it.

        Raises:
            OtherRun: it is not this run's.
        """
        state = torch.load(self.path, weights_only=True)
        if state["run"] != self._fingerprint:
            raise OtherRun(f"{self.path} is of a run with another recipe, other data or another seed: remove it, or choose another folder.")
        with torch.no_grad():
            for parameter, saved in zip(self._trained, state["trained"], strict=True):
                parameter.copy_(saved)
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        step, *best = state["progress"]
        return step, Best(*best)


def fingerprint(recipe: Recipe, seed: int, rules: Sequence[str], plan: Sequence[Any]) -> str:
    """What is the same in two sessions of one run: the recipe, the seed, the rules and every row of the plan."""
    rows = [(step.token_ids, step.labels) for step in plan]
    return hashlib.sha256(json.dumps([asdict(recipe), seed, list(rules), rows]).encode()).hexdigest()


def shorten(log: Path, step: int) -> None:
    """Take out of a run's log what came after ``step``, which is done again."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    # A kill may have cut the last line short.
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    log.write_text("".join(kept))

"""The forward passes: many windows of token ids in, the logits of each out."""

from __future__ import annotations

import logging
import time
import timeit
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import torch

from modq_worker.judge import BeforePass
from modq_worker.tokens import Window

SHORT: Final = 3
"""A short pass has so many times fewer tokens, unless it was fitted to a time."""

logger = logging.getLogger(__name__)


class Forward(Protocol):
    """A model and how it is given windows: packed into one row, or padded to one length."""

    @property
    def pads(self) -> bool:
        """Whether every window of a pass costs as much as the longest."""

    @property
    def outputs(self) -> int:
        """Logits of a window: of safe and toxic, then of each rule."""

    def __call__(self, windows: Sequence[Window]) -> torch.Tensor:
        """The logits of each window, in order: float32 on the CPU, shape ``(len(windows), outputs)``."""


def fitting(lengths: Iterable[int], budget: int, *, pads: bool) -> int:
    """How many windows, the first of these ascending lengths, fit a pass of ``budget`` tokens, padding included.

    A window longer than the budget has a pass to itself.
    """
    tokens = count = 0
    for count, length in enumerate(lengths):
        # Lengths ascend, so where windows are padded this one sets the width of all that are in the pass.
        tokens = (count + 1) * length if pads else tokens + length
        if count and tokens > budget:
            return count
    return count + 1


class Engine:
    """A classification model, ready to read windows of any length in any order."""

    def __init__(self, forward: Forward, *, budget: int) -> None:
        self.forward = forward
        self.budget = budget
        """Tokens of one pass; halved for good whenever the device has no memory for it."""
        self.short = max(1, budget // SHORT)
        """Tokens of a short pass, in which less is judged in the same time."""

    def fit(self, whole: float, short: float) -> None:
        """Let a pass take ``whole`` seconds of this machine's cores at most, and a short one ``short``; but 128 and 48 tokens at least."""
        probe = [(0,) * 32] * 8
        # In CPU seconds, so that whatever else starts at the same moment does not slow the worker for good.
        fastest = min(timeit.repeat(lambda: self.forward(probe), timer=time.process_time, number=1, repeat=5)) / torch.get_num_threads()
        per_second = sum(map(len, probe)) / fastest
        self.budget = int(min(self.budget, max(128, whole * per_second)))
        self.short = int(min(self.budget, max(48, short * per_second)))

    def logits(self, windows: Sequence[Window], before_pass: BeforePass) -> torch.Tensor:
        """The logits of each window, in order: float32 on the CPU, shape ``(len(windows), forward.outputs)``.

        Calls ``before_pass`` before every pass, which is a short one if that says so; what it raises ends the work.
        """
        logits = torch.empty(len(windows), self.forward.outputs)
        # Like lengths go together: they are attended to together, and need no padding where there is any.
        waiting = sorted(range(len(windows)), key=lambda position: len(windows[position]))
        while waiting:
            budget = self.short if before_pass() else self.budget
            positions = waiting[: fitting((len(windows[position]) for position in waiting), budget, pads=self.forward.pads)]
            try:
                logits[positions] = self.forward([windows[position] for position in positions])
            except torch.OutOfMemoryError:
                if len(positions) == 1:
                    raise
                self._shrink()
                continue
            del waiting[: len(positions)]
        return logits

    def _shrink(self) -> None:
        self.budget = max(1, self.budget // 2)
        self.short = min(self.short, self.budget)
        logger.warning("the device is out of memory: passes are limited to %d tokens from now on", self.budget)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

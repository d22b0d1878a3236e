"""The forward passes: many windows of token ids in, the logits of each out."""

from __future__ import annotations

import logging
import time
import timeit
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from modq_worker.tokens import Window

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


def plan(lengths: Sequence[int], budget: int, *, pads: bool) -> list[list[int]]:
    """Group windows into passes of at most ``budget`` tokens, padding included; returns positions in ``lengths``.

    Like lengths go together: they are attended to together, and need no padding where there is any. A window
    longer than the budget has a pass to itself.
    """
    passes: list[list[int]] = []
    tokens = 0
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Lengths ascend, so where windows are padded this one sets the width of all that are in the pass.
        tokens = (len(passes[-1]) + 1) * lengths[position] if pads and passes else tokens + lengths[position]
        if passes and tokens <= budget:
            passes[-1].append(position)
        else:
            passes.append([position])
            tokens = lengths[position]
    return passes


class Engine:
    """A classification model, ready to read windows of any length in any order."""

    def __init__(self, forward: Forward, *, budget: int) -> None:
        self.forward = forward
        self.budget = budget
        """Tokens of one pass; halved for good whenever the device has no memory for it."""

    def fit(self, seconds: float) -> None:
        """Lower the budget, to 128 at the least, until a pass of typical windows takes about ``seconds`` of this machine's cores."""
        probe = [(0,) * 32] * 8
        # In CPU seconds, so that whatever else starts at the same moment does not slow the worker for good.
        fastest = min(timeit.repeat(lambda: self.forward(probe), timer=time.process_time, number=1, repeat=5)) / torch.get_num_threads()
        self.budget = min(self.budget, max(128, int(256 * seconds / fastest)))

    def logits(self, windows: Sequence[Window], after_pass: Callable[[], None]) -> torch.Tensor:
        """The logits of each window, in order: float32 on the CPU, shape ``(len(windows), forward.outputs)``.

        Calls ``after_pass`` after every pass; what it raises ends the work.
        """
        logits = torch.empty(len(windows), self.forward.outputs)
        passes = deque(plan([len(window) for window in windows], self.budget, pads=self.forward.pads))
        while passes:
            positions = passes.popleft()
            try:
                logits[positions] = self.forward([windows[position] for position in positions])
            except torch.OutOfMemoryError:
                if len(positions) == 1:
                    raise
                self._shrink()
                half = len(positions) // 2
                passes.extendleft([positions[half:], positions[:half]])
                continue
            after_pass()
        return logits

    def _shrink(self) -> None:
        self.budget = max(1, self.budget // 2)
        logger.warning("the device is out of memory: passes are limited to %d tokens from now on", self.budget)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

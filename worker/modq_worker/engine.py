"""The forward passes: many windows of token ids in, the logits of each out."""

from __future__ import annotations

import logging
import timeit
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

logger = logging.getLogger(__name__)

Window = tuple[int, ...]


def plan(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group windows into passes of at most ``budget`` tokens, padding included; returns positions in ``lengths``.

    Like lengths go together, so that little is padding. A window longer than the budget has a pass to itself.
    """
    passes: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Lengths ascend, so this window is the longest of its pass and sets the width of all of them.
        if passes and (len(passes[-1]) + 1) * lengths[position] <= budget:
            passes[-1].append(position)
        else:
            passes.append([position])
    return passes


class Engine:
    """A sequence classification model, ready to read windows of any length in any order."""

    def __init__(self, model: Any, *, pad: int, budget: int) -> None:
        self._model = model
        self._pad = pad
        self.budget = budget
        """Tokens of one pass; halved for good whenever the device has no memory for it."""

    def fit(self, seconds: float) -> None:
        """Lower the budget, to 128 at the least, until a pass of typical windows takes about ``seconds`` on this machine."""
        probe = [(self._pad,) * 32] * 8
        fastest = min(timeit.repeat(lambda: self._forward(probe), number=1, repeat=5))
        self.budget = min(self.budget, max(128, int(256 * seconds / fastest)))

    def logits(self, windows: Sequence[Window], after_pass: Callable[[], None]) -> torch.Tensor:
        """The logits of each window, in order: float32 on the CPU, shape ``(len(windows), config.num_labels)``.

        Calls ``after_pass`` after every pass; what it raises ends the work.
        """
        logits = torch.empty(len(windows), self._model.config.num_labels)
        passes = deque(plan([len(window) for window in windows], self.budget))
        while passes:
            positions = passes.popleft()
            try:
                logits[positions] = self._forward([windows[position] for position in positions])
            except torch.OutOfMemoryError:
                if len(positions) == 1:
                    raise
                self._shrink()
                half = len(positions) // 2
                passes.extendleft([positions[half:], positions[:half]])
                continue
            after_pass()
        return logits

    @torch.inference_mode()
    def _forward(self, windows: Sequence[Window]) -> torch.Tensor:
        ids, mask = self._padded(windows)
        logits: torch.Tensor = self._model(input_ids=ids, attention_mask=mask).logits
        return logits.float().cpu()

    def _padded(self, windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor]:
        # On the right: a decoder is then read at its last real token, which it finds by the padding token.
        width = max(len(window) for window in windows)
        ids = torch.tensor([(*window, *[self._pad] * (width - len(window))) for window in windows])
        lengths = torch.tensor([len(window) for window in windows])
        mask = torch.arange(width) < lengths[:, None]
        device = self._model.device
        return ids.to(device), mask.long().to(device)

    def _shrink(self) -> None:
        self.budget = max(1, self.budget // 2)
        logger.warning("the device is out of memory: passes are limited to %d tokens from now on", self.budget)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

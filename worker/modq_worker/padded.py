"""Forward passes in which every window is padded to the longest: slower than packed ones, and right for any architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from modq_worker.tokens import Window


class PaddedModel:
    """A classification model that reads windows as transformers' own examples have it."""

    pads: Final = True
    """Every window of a pass costs as much as its longest."""

    def __init__(self, model: Any, *, pad: int) -> None:
        self.model = model
        self.outputs: int = model.config.num_labels
        self._pad = pad

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Window]) -> torch.Tensor:
        """The logits of each window, in order; float32 on the CPU, shape ``(len(windows), outputs)``."""
        # On the right: a decoder is then read at its last real token, which it finds by the padding token.
        width = max(len(window) for window in windows)
        ids = torch.tensor([(*window, *[self._pad] * (width - len(window))) for window in windows])
        lengths = torch.tensor([len(window) for window in windows])
        mask = torch.arange(width) < lengths[:, None]
        device = self.model.device
        logits: torch.Tensor = self.model(input_ids=ids.to(device), attention_mask=mask.long().to(device)).logits
        return logits.float().cpu()

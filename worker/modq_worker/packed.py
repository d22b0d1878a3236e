"""Forward passes without padding: the tokens of many windows stand in one row, and each sees its own window only.

A model's linear layers, norms and embeddings treat every token by itself, so they do not care whose neighbour it is:
transformers' own layers run on the row as they are. Three things do care, and are told:

- position embeddings, by position ids that begin anew with each window;
- attention, by functions of our own that transformers calls in place of its own (see ``_attend_by_length``);
- the classification head, which reads one token of each window: the first of an encoder, the last of a decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import torch
from torch.nn.attention import varlen
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from modq_worker.tokens import Window

ENCODERS: Final = frozenset({"bert"})
DECODERS: Final = frozenset({"gemma", "gemma3_text", "llama"})
"""The architectures that were tried, by transformers' name for them. Others may do more in their attention than we know."""


@dataclass(frozen=True, slots=True)
class Block:
    """Windows of one length, side by side in the row."""

    start: int
    windows: int
    length: int


@dataclass(frozen=True, slots=True)
class Row:
    """The tokens of a pass, window after window."""

    ids: torch.Tensor
    """Shape ``(1, tokens)``, as is ``positions``."""
    positions: torch.Tensor
    read: torch.Tensor
    """Where in the row the head reads each window; shape ``(windows,)``."""
    offsets: torch.Tensor
    """Where each window begins, and the end of the last; shape ``(windows + 1,)``, int32."""
    blocks: tuple[Block, ...]


class PackedModel:
    """A classification model that reads many windows in one row."""

    pads: Final = False
    """A pass holds the windows' own tokens and nothing else."""

    def __init__(self, model: Any, *, pad: int) -> None:
        self.model = model
        self.outputs: int = model.config.num_labels
        self._pad = pad
        self._encoder = model.config.model_type in ENCODERS
        self._row: Row
        model.set_attn_implementation(_attention_for(model.device, model.dtype))
        self._spare_the_last_layer()

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether ``model`` is of an architecture that can be read so."""
        return model.config.model_type in ENCODERS | DECODERS

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Window]) -> torch.Tensor:
        """The logits of each window, in order; float32 on the CPU, shape ``(len(windows), outputs)``.

        Quickest where windows of one length follow each other, as ``plan`` has them.
        """
        self._row = self._row_of(windows)
        return self._logits(self._row).float().cpu()

    def _logits(self, row: Row) -> torch.Tensor:
        model: Any = self.model
        hidden = model.base_model(input_ids=row.ids, position_ids=row.positions, use_cache=False, row=row).last_hidden_state
        # The pooler takes the first token of each row of a batch: here the only one that is left.
        logits: torch.Tensor = model.classifier(model.bert.pooler(hidden.transpose(0, 1))) if self._encoder else model.score(hidden[0, row.read])
        return logits

    def _row_of(self, windows: Sequence[Window]) -> Row:
        lengths = torch.tensor([len(window) for window in windows])
        offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        ids = torch.tensor([[token for window in windows for token in window]])
        positions = torch.arange(ids.shape[1]) - offsets[:-1].repeat_interleave(lengths)
        read = offsets[:-1] if self._encoder else offsets[:-1] + torch.tensor([self._last(window) for window in windows])
        device = self.model.device
        return Row(ids.to(device), positions[None].to(device), read.to(device), offsets.int().to(device), _blocks([len(window) for window in windows]))

    def _last(self, window: Window) -> int:
        """Where transformers' head reads a window: at the last token that is not the padding token."""
        return next((position for position in reversed(range(len(window))) if window[position] != self._pad), 0)

    def _spare_the_last_layer(self) -> None:
        """Past the last attention, only the tokens that the head reads go on: an eighth less work for a model of six layers."""
        body = self.model.base_model
        if self._encoder:
            body.encoder.layer[-1].attention.output.register_forward_pre_hook(self._only_read)
        else:
            body.layers[-1].mlp.register_forward_pre_hook(self._only_read)
            body.layers[-1].mlp.register_forward_hook(self._put_back)

    def _only_read(self, _: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(tensor[:, self._row.read] for tensor in inputs)

    def _put_back(self, _: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        # What the layer adds this to is as long as the row.
        row = output.new_zeros(1, self._row.ids.shape[1], output.shape[2])
        row[:, self._row.read] = output
        return row


def _blocks(lengths: Sequence[int]) -> tuple[Block, ...]:
    blocks, start = [], 0
    for length, group in groupby(lengths):
        blocks.append(Block(start, len(list(group)), length))
        start += blocks[-1].windows * length
    return tuple(blocks)


def _attention_for(device: torch.device, dtype: torch.dtype) -> str:
    """One kernel for a row of any lengths where there is one, which is on NVIDIA's Ampere and later, in half precision."""
    if device.type == "cuda" and dtype != torch.float32 and torch.cuda.get_device_capability(device) >= (8, 0):
        return "modq_by_offsets"
    return "modq_by_length"


def _attend_by_length(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _: None, *, row: Row, scaling: float, sliding_window: int | None = None, **__: Any
) -> tuple[torch.Tensor, None]:
    """Attention within each window, all windows of one length at once: on a CPU by far the quickest way.

    ``query``, ``key`` and ``value`` are ``(1, heads, tokens, size)``; returns ``(1, tokens, heads, size)``, as transformers wants it.
    """
    attended = query.new_empty(1, query.shape[2], query.shape[1], query.shape[3])
    for block in row.blocks:
        part = slice(block.start, block.start + block.windows * block.length)
        # (1, heads, tokens, size) -> (windows, heads, length, size)
        q, k, v = (
            x[0, :, part].reshape(x.shape[1], block.windows, block.length, x.shape[3]).transpose(0, 1) for x in (query, key, value)
        )
        near = _near(block.length, sliding_window, causal=module.is_causal, device=query.device)
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=near, scale=scaling, is_causal=module.is_causal and near is None, enable_gqa=q.shape[1] != k.shape[1]
        )
        attended[0, part] = out.transpose(1, 2).flatten(0, 1)
    return attended, None


def _near(length: int, sliding_window: int | None, *, causal: bool, device: torch.device) -> torch.Tensor | None:
    """Which tokens a sliding window lets each token see; None where the text is shorter than it, so that it hides nothing."""
    if sliding_window is None or length <= sliding_window:
        return None
    position = torch.arange(length, device=device)
    back = position[:, None] - position[None, :]
    return (back < sliding_window) & (back >= 0 if causal else back > -sliding_window)


def _attend_by_offsets(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _: None, *, row: Row, scaling: float, sliding_window: int | None = None, **__: Any
) -> tuple[torch.Tensor, None]:
    """The same by one FlashAttention kernel for all windows, which needs a GPU."""
    # The kernel does not count the token itself.
    reach = -1 if sliding_window is None else sliding_window - 1
    longest = max(block.length for block in row.blocks)
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    attended: Any = varlen.varlen_attn(
        q,
        k,
        v,
        row.offsets,
        row.offsets,
        longest,
        longest,
        scale=scaling,
        window_size=(reach, 0 if module.is_causal else reach),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return attended[None], None


AttentionInterface.register("modq_by_length", _attend_by_length)
AttentionInterface.register("modq_by_offsets", _attend_by_offsets)

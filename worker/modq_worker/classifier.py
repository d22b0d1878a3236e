"""The classifier: texts in, probabilities of toxic out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import torch

from modq.post import MAX_TEXT_CHARS
from modq_worker.adapter import SEVERITIES, Adapter, load_adapter, shipped_adapter
from modq_worker.backbone import find_backbone
from modq_worker.engine import Engine
from modq_worker.lora import load_model, load_tokenizer
from modq_worker.text import readings
from modq_worker.tokens import Tokens
from modq_worker.verdict import Score

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

PASS_TOKENS: Final = {"cpu": 512, "cuda": 16_384}
"""A pass of this many tokens uses the device well; a larger one only makes live posts wait longer behind it."""

CPU_PASS_SECONDS: Final = 0.03
"""On a slow CPU a pass is made smaller until it takes so long, because a live post may have to wait for it to end."""


class Classifier:
    """An adapter merged into its base model, ready to score texts. Not for use from two threads at once."""

    def __init__(self, adapter: Adapter, tokens: Tokens, engine: Engine) -> None:
        self.adapter = adapter
        self._tokens = tokens
        self._engine = engine

    @classmethod
    def load(
        cls,
        folder: Path | None = None,
        *,
        backbone: Path | None = None,
        device: Device = "auto",
        dtype: Dtype = "auto",
        threads: int = 1,
        pass_tokens: int | None = None,
        max_windows: int = 16,
    ) -> Classifier:
        """Load the adapter in ``folder`` (default: the shipped one) on its base model, every file checked first.

        Args:
            backbone: folder of the base model; default: wherever ``find_backbone`` finds it.
            threads: CPU threads of the forward passes, for the whole process.
            pass_tokens: tokens of one forward pass, padding included; default: what suits the device.
            max_windows: windows of a long text that are judged, 2 at least.

        Raises:
            AdapterRefused: the folder is no pinned adapter, or does not fit its base model.
            BackboneMissing: no base model with the pinned weights was found.
        """
        adapter = load_adapter(folder or shipped_adapter())
        base = find_backbone(adapter.base, local=backbone)
        torch.set_num_threads(threads)
        # A worker per core is the rule, so the tokenizer is not to take the neighbours' cores either.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if threads > 1 else "false")
        place = _device(device)
        tokenizer = load_tokenizer(adapter, base)
        tokens = Tokens(tokenizer, max_length=adapter.max_length, max_windows=max_windows)
        model = load_model(adapter, base, pad=tokens.pad, device=place, dtype=_dtype(dtype, place))
        engine = Engine(model, pad=tokens.pad, budget=pass_tokens or PASS_TOKENS[place.type])
        if pass_tokens is None and place.type == "cpu":
            engine.fit(CPU_PASS_SECONDS)
        return cls(adapter, tokens, engine)

    def score(self, texts: Sequence[str], after_pass: Callable[[], None] = lambda: None) -> list[Score]:
        """The score of each text, in order. What else is in the call changes it by rounding only.

        A text counts as toxic as its most toxic window, in the text as written or with its disguises taken off.
        ``after_pass`` is called after every forward pass; what it raises ends the call.
        """
        owners, read = [], []
        for owner, text in enumerate(texts):
            for reading in readings(text[:MAX_TEXT_CHARS]):
                owners.append(owner)
                read.append(reading)
        tokenised = self._tokens.read(read)

        windows = [window for reading in tokenised for window in reading.windows]
        window_owners = [owner for owner, reading in zip(owners, tokenised, strict=True) for _ in reading.windows]
        truncated = {owner for owner, reading in zip(owners, tokenised, strict=True) if reading.truncated}
        truncated.update(owner for owner, text in enumerate(texts) if len(text) > MAX_TEXT_CHARS)

        probabilities = self._probabilities(windows, after_pass)
        # The largest of a text's windows; amax hands on a broken model's NaN, which must come out.
        worst = torch.full((len(texts), probabilities.shape[1]), -math.inf, dtype=torch.float64)
        worst.scatter_reduce_(0, torch.tensor(window_owners, dtype=torch.int64)[:, None].expand_as(probabilities), probabilities, "amax")
        return [self._score(row, truncated=owner in truncated) for owner, row in enumerate(worst.tolist())]

    def _probabilities(self, windows: Sequence[tuple[int, ...]], after_pass: Callable[[], None]) -> torch.Tensor:
        """Of toxic, then of each rule: shape ``(len(windows), 1 + rules)``."""
        logits = self._engine.logits(windows, after_pass).double()
        margins = (logits[:, 1:2] - logits[:, 0:1]) / self.adapter.temperature
        return torch.sigmoid(torch.cat([margins, logits[:, 2:]], dim=1))

    def _score(self, row: Sequence[float], *, truncated: bool) -> Score:
        toxic, *of_rules = row
        broken = [(rule, round(share, 6)) for rule, share in zip(self.adapter.rules, of_rules, strict=True) if share >= rule.threshold]
        severity = max((rule.severity for rule, _ in broken), key=SEVERITIES.index, default=None)
        return Score(toxic, truncated, {rule.id: share for rule, share in broken}, severity)


def _device(wanted: Device) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def _dtype(wanted: Dtype, device: torch.device) -> torch.dtype:
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_is_fast_at_bfloat16() else torch.float32


def _cpu_is_fast_at_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself: twice to four times as fast as float32 then, far slower else."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags

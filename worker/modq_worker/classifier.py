"""The classifier: texts in, probabilities of toxic out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import torch

from modq.post import MAX_TEXT_CHARS
from modq.severity import SEVERITIES, Severity
from modq_worker.adapter import Adapter, load_adapter, shipped_adapter
from modq_worker.backbone import find_backbone
from modq_worker.engine import Engine
from modq_worker.hardware import Device, Dtype, choose_device, choose_dtype
from modq_worker.judge import BeforePass
from modq_worker.lora import load_model, load_tokenizer
from modq_worker.packed import PackedModel
from modq_worker.padded import PaddedModel
from modq_worker.text import readings, spell_emoji
from modq_worker.tokens import Tokens, Window
from modq_worker.verdict import Score

PASS_TOKENS: Final = {"cpu": 512, "cuda": 16_384}
"""A pass of this many tokens uses the device well; a larger one only makes a live post wait longer behind it."""

CPU_PASS_SECONDS: Final = 0.1
"""A slow CPU, or a large model on one, gets smaller passes: a live post may have to wait for one of the backlog to end."""
CPU_SHORT_PASS_SECONDS: Final = 0.01
"""The backlog's passes take so long while live posts keep coming."""


class Classifier:
    """An adapter merged into its base model, ready to score texts. Not for use from two threads at once."""

    def __init__(self, adapter: Adapter, tokens: Tokens, engine: Engine, readings: Callable[[str], tuple[str, ...]] = readings) -> None:
        self.adapter = adapter
        self.tokens = tokens
        self.engine = engine
        self.readings = readings

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
            pass_tokens: tokens of one forward pass; default: what suits the device.
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
        place = choose_device(device)
        tokenizer = load_tokenizer(adapter, base)
        tokens = Tokens(tokenizer, max_length=adapter.max_length, max_windows=max_windows)
        model = load_model(adapter, base, pad=tokens.pad, device=place, dtype=choose_dtype(dtype, place))
        forward = (PackedModel if PackedModel.fits(model) else PaddedModel)(model, pad=tokens.pad)
        engine = Engine(forward, budget=pass_tokens or PASS_TOKENS[place.type])
        if place.type == "cpu":
            engine.fit(math.inf if pass_tokens else CPU_PASS_SECONDS, CPU_SHORT_PASS_SECONDS)
        return cls(adapter, tokens, engine, readings if tokens.knows_emoji else lambda text: readings(spell_emoji(text)))

    def score(self, texts: Sequence[str], before_pass: BeforePass = lambda: None) -> list[Score]:
        """The score of each text, in order. What else is in the call changes it by rounding only.

        A text counts as toxic as its most toxic window, in the text as written or with its disguises taken off.
        ``before_pass`` is called before every forward pass, which is a short one if that says so; what it raises ends the call.
        """
        read = [self.readings(text[:MAX_TEXT_CHARS]) for text in texts]
        # What several texts say, in whatever disguise, is judged once.
        judged = self._judge(list(dict.fromkeys(chain.from_iterable(read))), before_pass)
        return [_worst([judged[reading] for reading in own], cut=len(text) > MAX_TEXT_CHARS) for text, own in zip(texts, read, strict=True)]

    def _judge(self, readings: Sequence[str], before_pass: BeforePass) -> dict[str, Score]:
        """The score of each reading: that of its most toxic window."""
        tokenised = self.tokens.read(readings)
        scores = iter(self._score_windows([window for reading in tokenised for window in reading.windows], before_pass))
        worst = [_worst([next(scores) for _ in reading.windows], cut=reading.truncated) for reading in tokenised]
        return dict(zip(readings, worst, strict=True))

    def _score_windows(self, windows: Sequence[Window], before_pass: BeforePass) -> list[Score]:
        logits = self.engine.logits(windows, before_pass).double()
        margins = (logits[:, 1:2] - logits[:, 0:1]) / self.adapter.temperature
        return [self._score(*probabilities) for probabilities in torch.sigmoid(torch.cat([margins, logits[:, 2:]], dim=1)).tolist()]

    def _score(self, toxic: float, *of_rules: float) -> Score:
        broken = {rule: round(share, 6) for rule, share in zip(self.adapter.rules, of_rules, strict=True) if share >= rule.threshold}
        return Score(toxic, rules={rule.id: share for rule, share in broken.items()}, severity=_gravest(rule.severity for rule in broken))


def _worst(scores: Sequence[Score], *, cut: bool) -> Score:
    # A broken model's NaN must come out, not lose every comparison.
    toxic = max(scores, key=lambda score: math.inf if math.isnan(score.toxic) else score.toxic).toxic
    rules: dict[str, float] = {}
    for score in scores:
        rules |= {rule: share for rule, share in score.rules.items() if share > rules.get(rule, 0.0)}
    truncated = cut or any(score.truncated for score in scores)
    return Score(toxic, truncated, rules, _gravest(score.severity for score in scores))


def _gravest(severities: Iterable[Severity | None]) -> Severity | None:
    return max((severity for severity in severities if severity is not None), key=SEVERITIES.index, default=None)

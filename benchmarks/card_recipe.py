"""The recipe that an adapter's card gives, word for word: the naive classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from modq_worker.adapter import load_adapter, shipped_adapter
from modq_worker.backbone import find_backbone


class CardRecipe:
    """float32, LoRA beside the weights, every text padded to the longest of its batch and cut off at 256 tokens."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer

    @classmethod
    def load(cls) -> CardRecipe:
        """The shipped adapter on its base model, with one thread."""
        torch.set_num_threads(1)
        folder = shipped_adapter()
        base = find_backbone(load_adapter(folder).base)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
        return cls(PeftModel.from_pretrained(model, folder).eval(), AutoTokenizer.from_pretrained(base))

    def score(self, texts: Sequence[str]) -> list[float]:
        """The probability of toxic of each text, in one batch."""
        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            scores: list[float] = self._model(**batch).logits.softmax(-1)[:, 1].tolist()
        return scores

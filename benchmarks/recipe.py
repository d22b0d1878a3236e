"""The yardstick: a classifier as the model card says to use it, in float32, padded, in the order of arrival."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from modq_worker.adapter import Adapter

# What they have to say to developers, and to each other.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
warnings.filterwarnings("ignore", category=FutureWarning)

BATCH = 32
MAX_LENGTH = 256


class Recipe:
    """The card's own lines: base model, adapter, ``padding=True, truncation=True, max_length=256``, batches of 32."""

    def __init__(self, base: Path, adapter: Adapter, *, merged: bool = False) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(adapter.folder if adapter.has_tokenizer else base)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
        model.config.pad_token_id = self._tokenizer.pad_token_id
        model = PeftModel.from_pretrained(model, adapter.folder)
        self._model = (model.merge_and_unload() if merged else model).eval()
        self._temperature = adapter.temperature

    @torch.inference_mode()
    def scores(self, texts: Sequence[str]) -> list[float]:
        """The probability of toxic of each text; past 256 tokens a text is not read."""
        found: list[float] = []
        for start in range(0, len(texts), BATCH):
            logits = self._model(**self._batch(texts[start : start + BATCH])).logits.double() / self._temperature
            found += logits.softmax(-1)[:, 1].tolist()
        return found

    def padding(self, texts: Sequence[str]) -> float:
        """The share of the tokens it computes that are padding."""
        masks = [self._batch(texts[start : start + BATCH])["attention_mask"] for start in range(0, len(texts), BATCH)]
        return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    def _batch(self, texts: Sequence[str]) -> Any:
        return self._tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")


def random_adapter(base: Path, folder: Path) -> None:
    """Save an adapter with the card's settings and random weights: for speed, any will do."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=16, lora_alpha=32, lora_dropout=0.1, target_modules=targets, init_lora_weights=False)
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name:
                parameter.normal_(std=0.01)
    adapted.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)

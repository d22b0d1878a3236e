"""The model that is trained: a backbone as it is, a fresh LoRA and a fresh head; and how these two are written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from modq_training.recipe import Recipe
from modq_worker.adapter import CONFIG, WEIGHTS

LABELS = {0: "safe", 1: "toxic"}


def load_tokenizer(backbone: Path) -> Any:
    """The backbone's tokenizer, with a padding token in any case."""
    tokenizer = AutoTokenizer.from_pretrained(backbone, trust_remote_code=False, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def build_model(recipe: Recipe, backbone: Path, pad_token_id: int) -> Any:
    """The backbone with a fresh head of two labels and a fresh LoRA, of which only these two are trained."""
    with _quiet():
        base = AutoModelForSequenceClassification.from_pretrained(
            backbone,
            num_labels=2,
            id2label=LABELS,
            label2id={label: number for number, label in LABELS.items()},
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
        # A decoder is read at its last token that is not padding, which it has to be able to tell.
        base.config.pad_token_id = pad_token_id
        # peft would note the folder as the base's name, and that is this machine's affair.
        base.name_or_path = recipe.base
        return get_peft_model(base, lora_config(recipe))


def lora_config(recipe: Recipe) -> LoraConfig:
    """The recipe in peft's words."""
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        base_model_name_or_path=recipe.base,
        revision=recipe.revision,
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=list(recipe.target_modules),
    )


def save_weights(model: Any, recipe: Recipe, output: Path) -> None:
    """Write what PEFT needs to load the adapter. Its config names the base by its hub name, never by this machine's path."""
    with _quiet():
        # Without save_embedding_layers=False peft asks the hub for the base's vocabulary.
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()}
    save_file(weights, output / WEIGHTS, metadata={"format": "pt"})
    (output / WEIGHTS).chmod(0o644)
    config = lora_config(recipe).to_dict() | {"inference_mode": True, "modules_to_save": sorted(model.peft_config["default"].modules_to_save)}
    config["target_modules"] = sorted(config["target_modules"])
    (output / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True, default=str) + "\n")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that the head is new and has to be trained, which is what follows."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # What peft and transformers have to settle between themselves.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()

"""The model that is trained: a backbone as it is, a fresh LoRA and fresh heads; and how these are written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from modq_training.recipe import LABELS, Recipe
from modq_worker.adapter import CONFIG, RULES, WEIGHTS
from modq_worker.lora import widen_head

RARE = -3.0
"""What the rules' logits begin near, in log-odds: most texts break none, which then need not be learnt first."""


def load_tokenizer(backbone: Path) -> Any:
    """The backbone's tokenizer, with a padding token in any case."""
    tokenizer = AutoTokenizer.from_pretrained(backbone, trust_remote_code=False, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def build_model(recipe: Recipe, backbone: Path, pad_token_id: int, *, rules: int = 0) -> Any:
    """The backbone with a fresh LoRA and fresh heads, of which only these are trained.

    Its logits are those of safe and toxic, then those of the ``rules``, as the worker's.
    """
    with _quiet():
        base = AutoModelForSequenceClassification.from_pretrained(
            backbone,
            num_labels=2,
            id2label=dict(enumerate(LABELS)),
            label2id={label: number for number, label in enumerate(LABELS)},
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
        # A decoder is read at its last token that is not padding, which it has to be able to tell.
        base.config.pad_token_id = pad_token_id
        # peft would note the folder as the base's name, and that is this machine's affair.
        base.name_or_path = recipe.base
        model = get_peft_model(base, lora_config(recipe))
    if rules:
        _add_rules(model, rules)
    if recipe.base_dropout is not None:
        _set_dropout(model, recipe.base_dropout)
    return model


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


def save_weights(model: Any, recipe: Recipe, output: Path, *, rules: int = 0) -> None:
    """Write what PEFT needs to load the adapter. Its config names the base by its hub name, never by this machine's path."""
    with _quiet():
        # Without save_embedding_layers=False peft asks the hub for the base's vocabulary.
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {name: tensor.detach().float().cpu() for name, tensor in state.items()}
    if rules:
        # The heads are one layer here and two files there, so that what PEFT loads has the two labels only.
        wide = [name for name, tensor in weights.items() if "lora_" not in name and len(tensor) == len(LABELS) + rules]
        _save({name.rpartition(".")[2]: weights[name][len(LABELS) :] for name in wide}, output / RULES)
        weights |= {name: weights[name][: len(LABELS)] for name in wide}
    _save(weights, output / WEIGHTS)
    config = lora_config(recipe).to_dict() | {"inference_mode": True, "modules_to_save": sorted(model.peft_config["default"].modules_to_save)}
    config["target_modules"] = sorted(config["target_modules"])
    (output / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True, default=str) + "\n")


def _trained_head(model: Any) -> torch.nn.Module:
    """Where peft keeps the copy of the head that is trained, under the name ``default``."""
    [wrapper] = [module for module in model.modules() if isinstance(module, ModulesToSaveWrapper)]
    copies: torch.nn.Module = wrapper.modules_to_save
    return copies


def _add_rules(model: Any, rules: int) -> None:
    copies = _trained_head(model)
    head = next(module for module in copies.modules() if isinstance(module, torch.nn.Linear) and module.out_features == len(LABELS))
    weight = torch.empty(rules, head.in_features).normal_(std=model.config.initializer_range)
    widen_head(copies, weight, None if head.bias is None else torch.full((rules,), RARE))


def _set_dropout(model: Any, share: float) -> None:
    # LoRA's own dropout is the recipe's, and lies in modules whose names say so.
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_" not in name:
            module.p = share


def _save(weights: dict[str, torch.Tensor], file: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, file, metadata={"format": "pt"})
    file.chmod(0o644)


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

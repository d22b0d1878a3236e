"""The adapter's weights, merged into those of its base model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from modq_worker.adapter import RULES, WEIGHTS, Adapter, AdapterRefused, tensor_names


def load_tokenizer(adapter: Adapter, base: Path) -> Any:
    """The adapter's own tokenizer where it brings one, else the base model's."""
    with _quiet():
        folder = adapter.folder if adapter.has_tokenizer else base
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def load_model(adapter: Adapter, base: Path, *, pad: int, device: torch.device, dtype: torch.dtype) -> Any:
    """The base model with its classification head and the adapter merged in: no slower than the base model alone.

    Its logits are those of safe and toxic, then one for each of the adapter's rules; ``config.num_labels`` is their number.

    Raises:
        AdapterRefused: the adapter does not fit the base model, or leaves some weight of it random.
    """
    # Sums of small numbers to large ones: on a CPU in float32, rounded once at the end. A large model goes to a
    # GPU in the precision it was published in.
    exact: torch.dtype | str = torch.float32 if device.type == "cpu" or dtype == torch.float32 else "auto"
    with _quiet():
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                base,
                num_labels=len(adapter.labels),
                id2label={int(number): label for number, label in adapter.labels.items()},
                label2id={label: int(number) for number, label in adapter.labels.items()},
                dtype=exact,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
            _refuse_random_weights(adapter, report["missing_keys"])
            model.config.pad_token_id = pad
            # PEFT only warns of weights that it does not find.
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            model = PeftModel.from_pretrained(model, adapter.folder, is_trainable=False)
            model = model.merge_and_unload(safe_merge=True)
            if adapter.rules:
                add_rules(model, adapter)
        except (ValueError, RuntimeError, KeyError, OSError, Warning) as error:
            raise AdapterRefused(f"{adapter.folder} does not fit its base model {adapter.base.name}: {_first_line(error)}") from error
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def add_rules(model: Any, adapter: Adapter) -> None:
    """Let ``model`` give a logit for each of the adapter's rules behind the two that it gives, in the same pass.

    Raises:
        ValueError: the second head does not fit the first, or is not of one row per rule.
    """
    rows = load_file(adapter.folder / RULES)
    if rows["weight"].shape[0] != len(adapter.rules):
        raise ValueError(f"{RULES} has {rows['weight'].shape[0]} rows for {len(adapter.rules)} rules")
    widen_head(model, rows["weight"], rows.get("bias"))
    model.config.id2label = {**model.config.id2label, **{number: rule.id for number, rule in enumerate(adapter.rules, len(adapter.labels))}}


def widen_head(model: torch.nn.Module, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Linear:
    """Put rows below those of the one linear layer in ``model`` that has two outputs; returns the layer that replaces it.

    Raises:
        ValueError: there is no such layer, or the rows are of another form.
    """
    heads = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module.out_features == 2]
    if len(heads) != 1:
        raise ValueError(f"it has {len(heads)} layers of two outputs, and not one")
    [(name, head)] = heads
    if weight.shape[1] != head.in_features or (bias is None) != (head.bias is None):
        raise ValueError("the rows for the rules are of another form than the head")
    wide = torch.nn.Linear(head.in_features, 2 + len(weight), bias=bias is not None, dtype=head.weight.dtype, device=head.weight.device)
    with torch.no_grad():
        wide.weight.copy_(torch.cat([head.weight, weight.to(head.weight)]))
        if bias is not None:
            wide.bias.copy_(torch.cat([head.bias, bias.to(head.bias)]))
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, wide)
    return wide


def save_as_safetensors(gguf: Path, folder: Path) -> None:
    """Write the weights of a GGUF to ``folder``, unpacked to bfloat16, with its configuration and tokenizer."""
    with _quiet():
        # Unpacked in float32 and rounded once: the same bytes on every machine.
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True)
        # Or transformers would take the plain weights for packed ones, now and whenever the folder is read.
        model.hf_quantizer, model.is_quantized = None, False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.to(torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True).save_pretrained(folder)


def _refuse_random_weights(adapter: Adapter, absent: set[str]) -> None:
    """What the base model's files lack, transformers fills with random numbers; the adapter must bring all of it."""
    brought = set(tensor_names(adapter.folder / WEIGHTS))
    if random := sorted(name for name in absent if f"base_model.model.{name}" not in brought):
        raise AdapterRefused(f"{adapter.folder}: neither it nor its base model holds {random[0]}, so its scores would be noise.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar, no advice to developers, and no report that the head is new: the adapter brings it."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # What PEFT and transformers have to settle between themselves.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()

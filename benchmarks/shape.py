"""Passes of a model of some shape with random weights, against padded batches: what a GPU is measured with, where no weights can be had."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import torch
from matrix_rate import operations, square_matrices
from rounds import Spread, Way, in_turn, ratio
from transformers import GemmaConfig, GemmaForSequenceClassification

from modq_worker.classifier import PASS_TOKENS
from modq_worker.engine import Engine
from modq_worker.hardware import choose_dtype
from modq_worker.packed import PackedModel
from modq_worker.padded import PaddedModel

HEADS = {"num_attention_heads": 8, "num_key_value_heads": 1}
SHAPES: dict[str, dict[str, int]] = {
    # google/gemma-2b, as its card has it.
    "gemma-2b": {"hidden_size": 2048, "intermediate_size": 16_384, "num_hidden_layers": 18, "head_dim": 256, "vocab_size": 256_000, **HEADS},
    "tiny": {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "head_dim": 16, "vocab_size": 500, **HEADS},
}
LENGTHS = (16, 64)
BATCH = 32


def measure_shape(shape: str, device: str, rounds: int = 5) -> dict[str, Any]:
    """Measure, print, and return the figures, by the clock, for texts of about 16 and about 64 tokens."""
    dtype = choose_dtype("auto", torch.device(device))
    padded, packed = _model(shape, dtype, device), _model(shape, dtype, device)
    # A head that tells windows apart, and no more than an adapter's does.
    padded.score.weight.data.normal_(std=0.02)
    packed.load_state_dict(padded.state_dict())
    recipe, ours = PaddedModel(padded, pad=0), Engine(PackedModel(packed, pad=0), budget=PASS_TOKENS[device])
    compared = [_compare(recipe, ours, _windows(length, SHAPES[shape]["vocab_size"], 2 * ours.budget), dtype, device, rounds) for length in LENGTHS]
    furthest = max(facts["largest_difference_of_logits"] for facts in compared)
    where = torch.cuda.get_device_name() if device == "cuda" else device
    for length, facts in zip(LENGTHS, compared, strict=True):
        print(f"{shape} on {where}, {dtype}, about {length} tokens:", *(f"{name} {value!s}" for name, value in facts.items()), sep="\n  ")
    return {
        "shape": shape,
        "device": where,
        "dtype": str(dtype).removeprefix("torch."),
        "lengths": dict(zip(LENGTHS, compared, strict=True)),
        "scores": {"largest_difference_of_logits": furthest, "agree": furthest < (1e-3 if dtype == torch.float32 else 0.1)},
    }


def _model(shape: str, dtype: torch.dtype, device: str) -> Any:
    torch.manual_seed(0)
    with torch.device(device):
        return GemmaForSequenceClassification(GemmaConfig(**SHAPES[shape], num_labels=2, pad_token_id=0)).to(dtype).eval().requires_grad_(False)


def _compare(recipe: PaddedModel, ours: Engine, windows: list[tuple[int, ...]], dtype: torch.dtype, device: str, rounds: int) -> dict[str, Any]:
    logits: dict[str, torch.Tensor] = {}

    def padded() -> int:
        logits["padded"] = torch.cat([recipe(windows[start : start + BATCH]) for start in range(0, len(windows), BATCH)])
        return len(windows)

    def modq() -> int:
        logits["modq"] = ours.logits(windows, lambda: None)
        return len(windows)

    per_run = operations(modq)
    ways: dict[str, Way] = {"padded": padded, "modq": modq, "matrices": square_matrices(dtype, device, 8192 if device == "cuda" else 512, 20)}
    # A GPU's work costs no CPU seconds, so the clock's take their place.
    costs = in_turn(ways, rounds, cpu_clock=time.perf_counter)
    return {
        "windows_per_second": Spread.of([cost.per_second for cost in costs["modq"]]),
        "times_padded": ratio(costs["modq"], costs["padded"]),
        "fraction_of_matrix_rate": ratio([replace(cost, done=per_run) for cost in costs["modq"]], costs["matrices"]),
        "matrices_tflops": Spread.of([cost.per_second / 1e12 for cost in costs["matrices"]]),
        "largest_difference_of_logits": float((logits["padded"] - logits["modq"]).abs().max()),
    }


def _windows(length: int, vocabulary: int, tokens: int) -> list[tuple[int, ...]]:
    """Windows of half to one and a half times the length, of so many tokens together."""
    chance = random.Random(length)
    windows: list[tuple[int, ...]] = []
    while sum(map(len, windows)) < tokens:
        windows.append(tuple(chance.choices(range(1, vocabulary), k=chance.randint(length // 2, length * 3 // 2))))
    return windows

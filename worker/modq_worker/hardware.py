"""Chooses where the model runs, and in numbers of which precision."""

from __future__ import annotations

import time
from typing import Final, Literal

import torch

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_WORTH_IT: Final = 1.2
"""How many times as fast bfloat16 has to be on a CPU: it costs precision, and a choice on the edge would differ from start to start."""


def choose_device(wanted: Device) -> torch.device:
    """``wanted``; for auto a GPU if there is one."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def choose_dtype(wanted: Dtype, device: torch.device) -> torch.dtype:
    """``wanted``; for auto half precision on a GPU, and on a CPU what this one is faster at."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _bfloat16_speed() >= _WORTH_IT else torch.float32


def _bfloat16_speed() -> float:
    """How many times as fast as in float32 this CPU does a layer of a small model in bfloat16; takes some 50 ms.

    Measured, since what the processor says of itself does not tell: with AMX it is three to seven times as fast, with
    AVX-512's bfloat16 alone half as fast or twice as fast, by the make, and with neither it is hopeless.
    """
    operands = [(torch.ones(128, 384, dtype=dtype), torch.ones(1536, 384, dtype=dtype)) for dtype in (torch.float32, torch.bfloat16)]
    threads = torch.get_num_threads()
    # On one thread, in turn, and in CPU seconds: other processes may be busy too, and must not decide it.
    torch.set_num_threads(1)
    seconds = [[_cpu_seconds(*pair) for pair in operands] for _ in range(15)]
    torch.set_num_threads(threads)
    float32, bfloat16 = (float(min(taken)) for taken in zip(*seconds[1:], strict=True))
    return float32 / bfloat16


def _cpu_seconds(tokens: torch.Tensor, weights: torch.Tensor) -> float:
    began = time.process_time()
    torch.nn.functional.linear(tokens, weights)
    return time.process_time() - began

"""The physical limit: how fast this machine multiplies matrices, and how many multiplications a model's pass is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from rounds import Way
from torch.utils.flop_counter import FlopCounterMode


def square_matrices(dtype: torch.dtype, device: str = "cpu", size: int = 1536, times: int = 2) -> Way:
    """Multiply large square matrices, which every library is quickest at; returns how many floating-point operations that was."""
    a, b = torch.randn(size, size).to(device, dtype), torch.randn(size, size).to(device, dtype)

    def multiply() -> int:
        for _ in range(times):
            torch.mm(a, b)
        wait_for(device)
        return 2 * size**3 * times

    multiply()
    return multiply


def operations(work: Callable[[], Any]) -> int:
    """The floating-point operations in the matrix products and the attention of ``work``."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def wait_for(device: str) -> None:
    """A GPU works on after the call: until it is done."""
    if device != "cpu":
        torch.cuda.synchronize()

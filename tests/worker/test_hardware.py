"""The precision is the one that this machine is fast at, unless somebody chose."""

from __future__ import annotations

import pytest
import torch

from modq_worker import hardware
from modq_worker.hardware import choose_device, choose_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(("speed", "dtype"), [(0.1, torch.float32), (0.55, torch.float32), (1.1, torch.float32), (2.0, torch.bfloat16), (7.0, torch.bfloat16)])
def test_a_cpu_judges_in_bfloat16_only_where_that_is_clearly_faster(speed: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_bfloat16_speed", lambda: speed)
    assert choose_dtype("auto", CPU) == dtype


def test_a_choice_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_bfloat16_speed", lambda: 0.1)
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16
    assert choose_device("cpu") == CPU


def test_the_speed_is_measured_on_one_thread_and_alike_each_time() -> None:
    threads = torch.get_num_threads()
    speeds = [hardware._bfloat16_speed() for _ in range(3)]
    assert torch.get_num_threads() == threads
    assert max(speeds) < 3 * min(speeds)

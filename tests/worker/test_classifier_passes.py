"""Passes hold what a budget of tokens allows, and the caller has a word before each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modq_worker.engine import SHORT, Engine


class RecordingModel:
    """Notes which windows were in each pass, by their first token."""

    outputs = 1

    def __init__(self, *, pads: bool) -> None:
        self.pads = pads
        self.passes: list[list[int]] = []

    def __call__(self, windows: Sequence[tuple[int, ...]]) -> torch.Tensor:
        self.passes.append([window[0] for window in windows])
        return torch.zeros(len(windows), 1)


def passes_of(lengths: list[int], budget: int, *, pads: bool, short: bool = False) -> list[list[int]]:
    """Which positions in ``lengths`` go together."""
    model = RecordingModel(pads=pads)
    Engine(model, budget=budget).logits([(position,) * length for position, length in enumerate(lengths)], lambda: short)
    return model.passes


def cost(chosen: list[int], lengths: list[int], *, pads: bool) -> int:
    """Tokens of a pass."""
    return len(chosen) * max(lengths[position] for position in chosen) if pads else sum(lengths[position] for position in chosen)


@pytest.mark.parametrize("pads", [False, True], ids=["packed", "padded"])
@given(lengths=st.lists(st.integers(1, 256), max_size=200), budget=st.integers(1, 4096))
def test_every_window_is_in_one_pass_and_no_pass_exceeds_the_budget(lengths: list[int], budget: int, pads: bool) -> None:
    passes = passes_of(lengths, budget, pads=pads)
    assert sorted(position for chosen in passes for position in chosen) == list(range(len(lengths)))
    for chosen in passes:
        assert len(chosen) == 1 or cost(chosen, lengths, pads=pads) <= budget
    for chosen, following in pairwise(passes):
        assert cost([*chosen, following[0]], lengths, pads=pads) > budget, "a pass ends only where the next window has no room"


def test_little_of_a_padded_pass_is_padding() -> None:
    lengths = [1 + (position * 37) % 100 for position in range(500)]
    padded = sum(cost(chosen, lengths, pads=True) for chosen in passes_of(lengths, 512, pads=True))
    assert sum(lengths) / padded > 0.95


def test_a_short_pass_has_a_part_of_the_tokens() -> None:
    lengths = [10] * 60
    assert {len(chosen) for chosen in passes_of(lengths, 300, pads=False)} == {30}
    assert {len(chosen) for chosen in passes_of(lengths, 300, pads=False, short=True)} == {30 // SHORT}


@pytest.mark.parametrize(
    ("whole", "short", "tokens"),
    [(math.inf, 3600, (512, 512)), (math.inf, 0, (512, 48)), (3600, 0, (512, 48)), (0, 3600, (128, 128)), (0, 0, (128, 48))],
)
def test_passes_are_fitted_to_a_time_and_a_short_one_is_no_longer_than_a_whole_one(whole: float, short: float, tokens: tuple[int, int]) -> None:
    engine = Engine(RecordingModel(pads=False), budget=512)
    engine.fit(whole, short)
    assert (engine.budget, engine.short) == tokens


class CrampedModel:
    """Answers each window with its first token, and has memory for so many tokens at once: only a GPU's model runs out for real."""

    pads = False
    outputs = 2

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.sizes: list[int] = []

    def __call__(self, windows: Sequence[tuple[int, ...]]) -> torch.Tensor:
        tokens = sum(len(window) for window in windows)
        if tokens > self.memory:
            raise torch.OutOfMemoryError
        self.sizes.append(tokens)
        return torch.tensor([[window[0], len(window)] for window in windows]).float()


WINDOWS = [(number, *[0] * (number % 7)) for number in range(1, 60)]


def test_answers_come_back_in_the_order_asked() -> None:
    logits = Engine(CrampedModel(10_000), budget=32).logits(WINDOWS, lambda: None)
    assert logits.tolist() == [[window[0], len(window)] for window in WINDOWS]


def test_a_device_short_of_memory_gets_smaller_passes_from_then_on() -> None:
    model = CrampedModel(40)
    engine = Engine(model, budget=160)
    assert engine.logits(WINDOWS, lambda: None).tolist() == [[window[0], len(window)] for window in WINDOWS]
    assert engine.budget <= 40
    assert max(model.sizes) <= 40


def test_a_window_that_does_not_fit_by_itself_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Engine(CrampedModel(2), budget=32).logits([(1, 2, 3)], lambda: None)


def test_the_caller_is_called_before_every_pass_and_can_end_the_work() -> None:
    model = CrampedModel(10_000)
    seen: list[int] = []

    def stop() -> None:
        seen.append(len(model.sizes))
        if len(model.sizes) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Engine(model, budget=32).logits(WINDOWS, stop)
    assert seen == [0, 1, 2, 3]

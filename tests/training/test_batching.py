"""A step holds rows of like length, and a pass never more tokens than its budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modq_training.batching import passes_of, steps_of

lengths = st.lists(st.integers(1, 256), min_size=1, max_size=300)


@given(lengths, st.integers(1, 64), st.integers(0, 3))
def test_every_row_is_in_exactly_one_step(lengths: list[int], rows: int, seed: int) -> None:
    steps = steps_of(lengths, rows=rows, seed=f"{seed}")
    assert sorted(index for step in steps for index in step) == list(range(len(lengths)))
    assert max(map(len, steps)) <= rows
    assert steps == steps_of(lengths, rows=rows, seed=f"{seed}")


@given(lengths, st.integers(64, 1024))
def test_a_pass_with_its_padding_is_within_the_budget(lengths: list[int], budget: int) -> None:
    passes = list(passes_of(range(len(lengths)), lengths, tokens=budget))
    assert sorted(index for indices in passes for index in indices) == list(range(len(lengths)))
    assert all(len(indices) == 1 or len(indices) * max(lengths[index] for index in indices) <= budget for indices in passes)


def test_rows_of_a_step_have_like_lengths() -> None:
    lengths = [n % 100 + 1 for n in range(3200)]
    steps = steps_of(lengths, rows=32, seed="0")
    padding = sum(max(lengths[i] for i in step) * len(step) for step in steps) / sum(lengths)
    assert padding < 1.2


def test_both_texts_of_a_pair_are_in_the_same_step_nearly_always() -> None:
    pairs = [f"pair {n // 2}" if n < 1600 else "" for n in range(3200)]
    steps = steps_of([n * 7 % 50 + 1 for n in range(3200)], rows=64, seed="0", pairs=pairs)
    assert sorted(index for step in steps for index in step) == list(range(3200))
    together = sum(len({pairs[index] for index in step} - {""}) for step in steps)
    assert together < 800 * 1.05

"""An epoch is drawn by weights, at the share of toxic texts that the mix names, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modq_training.dataset import Example, Split, draw, mark_tempting, telltales
from modq_training.recipe import Mix

POOL = [Example(f"{source} {label} {n}", label, source, "rude" if n % 2 else "mild") for source in "abc" for label in (0, 1) for n in range(100)]


@given(rows=st.integers(2, 700), share=st.sampled_from([0.0, 0.2, 0.5, 1.0]), seed=st.integers(0, 5))
def test_the_share_holds_and_no_row_is_drawn_twice(rows: int, share: float, seed: int) -> None:
    drawn = draw(POOL, Mix(rows, share), rows=rows, seed=seed)
    assert len(set(drawn)) == len(drawn) <= rows
    assert abs(sum(row.label for row in drawn) - share * len(drawn)) <= 1


def test_the_seed_decides_the_draw() -> None:
    mix = Mix(100, 0.5)
    assert draw(POOL, mix, rows=100, seed=1) == draw(POOL, mix, rows=100, seed=1) != draw(POOL, mix, rows=100, seed=2)


def test_a_source_of_weight_zero_is_never_drawn() -> None:
    drawn = draw(POOL, Mix(600, 0.5, {"a": 0}), rows=600, seed=0)
    assert {row.source for row in drawn} == {"b", "c"}


def test_a_heavier_source_is_drawn_more_readily() -> None:
    counts = Counter(row.source for row in draw(POOL, Mix(150, 0.5, {"a": 4.0}), rows=150, seed=0))
    assert counts["a"] > 1.5 * counts["b"]


def test_a_category_overrides_its_source() -> None:
    drawn = draw(POOL, Mix(600, 0.5, {"a": 2.0, "a:rude": 0}), rows=600, seed=0)
    assert {row.category for row in drawn if row.source == "a"} == {"mild"}


def test_safe_texts_with_a_word_typical_of_toxic_ones_are_marked_and_drawn_more_readily() -> None:
    insults = [Example(f"you damn fool {n}", 1, "rated") for n in range(100)]
    praise = [Example(f"what a damn good song {n}", 0, "chat") for n in range(10)]
    talk = [Example(f"what a good song {n}", 0, "chat") for n in range(190)]
    assert telltales(insults + praise + talk) == {"you", "damn", "fool"}
    marked = mark_tempting(Split(insults + praise + talk, [])).train
    assert {row.text for row in marked if row.tempting} == {row.text for row in praise}
    mix = Mix(100, 0.5, neutral=("chat",), tempting=50.0)
    assert sum(row.tempting for row in draw(marked, mix, rows=100, seed=0)) >= 8

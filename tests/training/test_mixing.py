"""An epoch is drawn by weights, at the share of toxic texts that the mix names, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modq_training.dataset import Example, Split, draw, mark_tempting, relabel, telltales
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


def test_only_the_toxic_rows_of_a_source_are_drawn_where_its_safe_ones_weigh_nothing() -> None:
    drawn = draw(POOL, Mix(600, 0.5, {"a:safe": 0}), rows=600, seed=0)
    assert {row.label for row in drawn if row.source == "a"} == {1}


def test_a_share_of_both_classes_belongs_to_a_source_however_small_it_is() -> None:
    pool = POOL + [Example(f"made {label} {n}", label, "made") for label in (0, 1) for n in range(20)]
    drawn = draw(pool, Mix(100, 0.5, shares={"made": 0.3}), rows=100, seed=0)
    assert Counter(row.label for row in drawn if row.source == "made") == {0: 15, 1: 15}
    # Without so many rows it gives those it has, and the epoch stays as long.
    drawn = draw(pool, Mix(100, 0.5, shares={"made": 0.9}), rows=100, seed=0)
    assert Counter(row.source == "made" for row in drawn) == {True: 40, False: 60}


def test_alone_a_source_with_a_share_fills_the_epoch() -> None:
    assert len(draw(POOL[:200], Mix(100, 0.5, shares={"a": 0.3}), rows=100, seed=0)) == 100


def test_a_category_may_be_labelled_otherwise_than_its_source_did() -> None:
    labels = {row.category: row.label for row in relabel(POOL, Mix(1, 0.5, labels={"a:rude": 0})) if row.source == "a" and row.text.startswith("a 1")}
    assert labels == {"rude": 0, "mild": 1}


def test_safe_texts_with_a_word_typical_of_toxic_ones_are_marked_and_drawn_more_readily() -> None:
    insults = [Example(f"you damn fool {n}", 1, "rated") for n in range(100)]
    praise = [Example(f"what a damn good song {n}", 0, "chat") for n in range(10)]
    talk = [Example(f"what a good song {n}", 0, "chat") for n in range(190)]
    assert telltales(insults + praise + talk) == {"you", "damn", "fool"}
    marked = mark_tempting(Split(insults + praise + talk, [])).train
    assert {row.text for row in marked if row.tempting} == {row.text for row in praise}
    mix = Mix(100, 0.5, neutral=("chat",), tempting=50.0)
    assert sum(row.tempting for row in draw(marked, mix, rows=100, seed=0)) >= 8

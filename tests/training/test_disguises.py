"""A disguise changes how a text looks and keeps it a text that a reader understands."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modq_training.disguise import FAMILIES, HELD_OUT, HOMOGLYPHS, TRAINED, disguise
from modq_worker.text import clean

TEXT = "Nobody here likes you and everybody wants you gone"


@given(st.text(max_size=80), st.integers(0, 50))
def test_any_text_can_be_disguised_and_the_seed_decides_how(text: str, seed: int) -> None:
    assert disguise(text, random.Random(seed)) == disguise(text, random.Random(seed))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_changes_the_text_but_not_the_number_of_its_words_by_much(family: str) -> None:
    for seed in range(20):
        changed = FAMILIES[family](TEXT, random.Random(seed))
        assert changed != TEXT
        assert len(changed) < 2 * len(TEXT)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"leetspeak", "typos"}))
def test_the_letters_come_in_the_same_order(family: str) -> None:
    back = str.maketrans({look_alike: chr(letter) for letter, look_alike in HOMOGLYPHS.items()})
    changed = clean(FAMILIES[family](TEXT, random.Random(3))).translate(back).lower()
    letters = iter(letter for letter in changed if letter.isalpha())
    assert all(letter in letters for letter in TEXT.lower() if letter.isalpha())


@pytest.mark.parametrize("family", ["leetspeak", "typos"])
def test_most_letters_stay(family: str) -> None:
    changed = FAMILIES[family](TEXT, random.Random(3)).lower()
    assert sum(letter in changed for letter in set(TEXT.lower())) > 0.6 * len(set(TEXT.lower()))


def test_training_never_wears_the_family_that_is_held_out() -> None:
    assert {HELD_OUT, *TRAINED} == set(FAMILIES)
    look_alikes = {chr(letter) for letter in HOMOGLYPHS.values() if isinstance(letter, int)}
    assert not any(look_alikes & set(disguise(TEXT, random.Random(seed))) for seed in range(200))

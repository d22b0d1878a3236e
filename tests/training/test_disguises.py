"""A disguise changes how a text looks and keeps it a text that a reader understands."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modq_training.disguise import DISGUISES, disguise

TEXT = "Nobody here likes you and everybody wants you gone"


@given(st.text(max_size=80), st.integers(0, 50))
def test_any_text_can_be_disguised_and_the_seed_decides_how(text: str, seed: int) -> None:
    assert disguise(text, random.Random(seed)) == disguise(text, random.Random(seed))


@pytest.mark.parametrize("change", DISGUISES)
def test_every_disguise_changes_the_text_but_not_the_number_of_its_words_by_much(change: object) -> None:
    assert callable(change)
    changed = change(TEXT, random.Random(3))
    assert changed != TEXT
    assert len(changed) < 2 * len(TEXT)
    assert sum(a == b for a, b in zip(changed.lower(), TEXT.lower(), strict=False)) >= 3

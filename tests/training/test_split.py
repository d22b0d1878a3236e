"""No text of the validation part is a near-copy of one that was trained on."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from modq_training.dataset import Example, split, words_of

texts = st.lists(st.text(alphabet="abc ABC!?,.😀", min_size=1, max_size=12), min_size=1, max_size=40)


def side_of(text: str) -> str:
    return "validation" if split([Example(text, 0, "s")], validation_share=0.5).validation else "train"


@given(texts)
def test_texts_of_the_same_words_are_on_the_same_side(texts: list[str]) -> None:
    parts = split([Example(text, 0, "s") for text in texts], validation_share=0.5)
    assert {words_of(e.text) for e in parts.train}.isdisjoint(words_of(e.text) for e in parts.validation)
    assert len(parts.train) + len(parts.validation) == len(texts)


@given(st.text(alphabet="abcdefghij ", min_size=1, max_size=30), st.sampled_from([str.upper, str.title, "{}!!!".format, " {} ".format, '"{}" ...'.format]))
def test_case_spacing_and_punctuation_do_not_change_the_side(text: str, changed: object) -> None:
    assert callable(changed)
    if text.strip():
        assert side_of(changed(text)) == side_of(text)


def test_the_side_depends_on_nothing_but_the_text() -> None:
    examples = [Example(f"text number {n}", n % 2, "s") for n in range(500)]
    shuffled = examples[:]
    random.Random(7).shuffle(shuffled)
    together, apart = split(examples), split(shuffled[:250])
    assert {e.text for e in apart.validation} <= {e.text for e in together.validation}
    assert {e.text for e in apart.train} <= {e.text for e in together.train}


def test_the_validation_part_has_about_the_share_that_was_asked_for() -> None:
    parts = split([Example(f"text number {n}", 0, "s") for n in range(5000)], validation_share=0.1)
    assert 400 < len(parts.validation) < 600


def test_texts_of_one_template_are_on_the_same_side() -> None:
    examples = [Example(f"text number {n}", n % 2, "made", template=f"template {n % 40}") for n in range(400)]
    parts = split(examples, validation_share=0.3)
    assert {e.template for e in parts.train}.isdisjoint(e.template for e in parts.validation)
    assert parts.train
    assert parts.validation

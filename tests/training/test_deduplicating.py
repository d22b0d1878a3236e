"""A text is there once, and not at all where its sources disagree about it."""

from __future__ import annotations

from modq_training.dataset import Example, deduplicate, words_of


def test_copies_that_differ_in_case_width_or_spacing_are_one() -> None:
    rows = [Example("Well done", 0, "a"), Example("well  DONE\n", 0, "b"), Example("ｗell done", 0, "c")]
    assert deduplicate(rows) == rows[:1]


def test_a_text_that_two_sources_label_differently_is_left_out() -> None:
    rows = [Example("shut up", 0, "chat"), Example("hello", 0, "chat"), Example("Shut up", 1, "rated")]
    assert [row.text for row in deduplicate(rows)] == ["hello"]


def test_an_emoji_makes_another_text() -> None:
    assert len(deduplicate([Example("I love 💊", 0, "a"), Example("I love 🐶", 1, "a")])) == 2


def test_texts_that_differ_in_an_emoji_only_are_no_near_copies() -> None:
    assert words_of("our street \U0001f973") != words_of("our street \U0001f92e")


def test_empty_texts_are_left_out() -> None:
    assert deduplicate([Example(" \n", 0, "a")]) == []

"""Disguises come off, windows cover long texts, and no text takes long."""

from __future__ import annotations

import sys
import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modq.post import MAX_TEXT_CHARS
from modq_worker.text import clean, readings, spell_emoji, windows


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("i\u200bd\u200ci\u2060o\ufefft", "idiot"),
        ("ｉｄｉｏｔ", "idiot"),
        ("𝓲𝓭𝓲𝓸𝓽 ⓘⓓⓘⓞⓣ", "idiot idiot"),
        ("i" + "\u0335\u0336\u0337\u0338\u0339\u033a" + "diot", "idiot"),
        ("\u202eidiot\u202c", "idiot"),
        ("i\u00add\ufe0fi\U000e0041ot", "idiot"),
        ("  an \n\t idiot\u3000", "an idiot"),
        ("you аre аn іdіоt", "you are an idiot"),
        ("уου ѕtupid ρig, ԁіе", "you stupid pig, die"),
        ("Спасибо, idiоt", "Спасибо, idiot"),
    ],
)
def test_a_disguise_comes_off(disguised: str, plain: str) -> None:
    assert clean(disguised) == plain


@pytest.mark.parametrize("text", ["Việt Nam", "हिन्दी में लिखा", "שָׁלוֹם", "naïve café", "日本語のテキスト", "👍🏽 ok", "Ты соска, а не оса", "καλημέρα φίλε", "Привет из Омска, ok?"])
def test_what_a_language_needs_stays(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFKC", text)


def test_a_plain_text_is_read_once_and_a_disguised_one_twice() -> None:
    assert readings("an  ordinary\npost") == ("an  ordinary\npost",)
    assert readings("an i\u200bdiot") == ("an i\u200bdiot", "an idiot")


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("you \U0001f412!", "you  monkey !"),
        ("\U0001f595\U0001f595\U0001f595 them", " middle finger  them"),
        ("no no \u2764\ufe0f\U0001f3f3\ufe0f\u200d\U0001f308", "no no  red heart  rainbow flag "),
        ("\U0001f44d\U0001f3ff \U0001f44d\U0001f3fb", " thumbs up   thumbs up "),
        ("na\u00efve :monkey: caf\u00e9", "na\u00efve :monkey: caf\u00e9"),
    ],
    ids=["one", "a row of one", "joined", "skin tones", "none"],
)
def test_an_emoji_is_spelled_by_its_name_and_without_its_skin_tone(text: str, spelled: str) -> None:
    assert spell_emoji(text) == spelled


def test_what_no_tokenizer_takes_is_replaced() -> None:
    assert readings("a\x00b\ud800c") == ("a\ufffdb\ufffdc",)


@pytest.mark.parametrize(
    "hostile",
    [
        "\u0301" * 1_000_000,
        "\u0301\u0316" * 500_000,
        "ｶ" + "\uff9e" * 1_000_000,
        "\ufdfa" * 1_000_000,
        ("\u0301" * 4 + "\u200d") * 200_000,
        "\u0344" * 1_000_000,
        " " * 1_000_000,
        "a" * 10_000_000,
    ],
    ids=["marks", "unsorted marks", "halfwidth marks", "expanding", "joined marks", "double marks", "spaces", "long"],
)
def test_a_hostile_text_is_cleaned_within_a_second(hostile: str) -> None:
    began = time.process_time()
    assert len(clean(hostile)) <= MAX_TEXT_CHARS
    assert time.process_time() - began < 1


@pytest.mark.parametrize("hostile", ["\U0001f602\U0001f62d" * (MAX_TEXT_CHARS // 2), "\U0001f468\u200d" * (MAX_TEXT_CHARS // 2)], ids=["in turn", "joined"])
def test_the_longest_text_of_emoji_is_spelled_within_two_seconds(hostile: str) -> None:
    began = time.process_time()
    assert len(spell_emoji(hostile)) < 30 * MAX_TEXT_CHARS
    assert time.process_time() - began < 2


def test_no_other_character_begins_with_a_mark_once_normalised() -> None:
    """What the cap on marks rests on: only marks and the two halfwidth sound marks can pile up in NFKC."""
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character)[0] != "M" and unicodedata.combining(unicodedata.normalize("NFKD", character)[0]):
            assert character in "\uff9e\uff9f"


def test_a_short_text_has_one_window() -> None:
    assert windows(254, size=254, stride=192, most=16).parts == (slice(0, 254),)
    assert windows(0, size=254, stride=192, most=16).parts == (slice(0, 0),)


def test_a_text_one_token_too_long_has_two_windows_that_reach_both_ends() -> None:
    assert windows(255, size=254, stride=192, most=16).parts == (slice(0, 254), slice(1, 255))


@given(st.integers(0, 200_000), st.integers(2, 40))
def test_windows_reach_both_ends_and_say_if_they_leave_something_out(tokens: int, most: int) -> None:
    cover = windows(tokens, size=254, stride=192, most=most)
    starts = [part.start for part in cover.parts]
    assert starts[0] == 0
    assert cover.parts[-1].stop == tokens
    assert starts == sorted(set(starts))
    assert len(cover.parts) <= most
    gap = any(later.start > earlier.stop for earlier, later in pairwise(cover.parts))
    assert cover.truncated or not gap
    assert cover.truncated == (tokens > 254 + 192 * (most - 1))


@given(st.integers(10_000, 100_000))
def test_windows_over_a_very_long_text_are_spread_evenly(tokens: int) -> None:
    starts = [part.start for part in windows(tokens, size=254, stride=192, most=16).parts]
    steps = [later - earlier for earlier, later in pairwise(starts)]
    assert max(steps) - min(steps) <= 2 * 192


@given(st.integers(0, 5_000), st.integers(1, 300), st.integers(1, 300), st.integers(2, 40))
def test_windows_of_any_size_cover_every_token_at_the_stride_asked(tokens: int, size: int, stride: int, most: int) -> None:
    stride = min(stride, size)
    cover = windows(tokens, size=size, stride=stride, most=most)
    covered = {token for part in cover.parts for token in range(part.start, part.stop)}
    assert covered == set(range(tokens)) or (cover.truncated and {0, tokens - 1} <= covered)
    assert all(part.stop - part.start == min(size, tokens) for part in cover.parts)
    if not cover.truncated:
        steps = [later.start - earlier.start for earlier, later in pairwise(cover.parts)]
        assert all(step == stride for step in steps[:-1])
        assert all(0 < step <= stride for step in steps)

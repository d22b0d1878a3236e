"""What the classifier reads of a text: the text itself, emoji by name, the text with its disguises taken off, and windows over long ones."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import emoji

from modq.post import MAX_TEXT_CHARS

_NO_CHARACTER: Final = re.compile("[\x00\ud800-\udfff]")
# Soft hyphen, joiners, fillers, bidirectional controls, variation selectors, tags: seen by tokenizers, not by readers.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_LOOK_ALIKES: Final = str.maketrans(
    "асԁеёԍһіїјкӏмнорԛгѕтуѵԝхвАВСЕЁНІЇЈКМОРԚЅТУԜХ" "αβγεικνορτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" "աօսոհցԼՕՍ" "ıɑɡ",
    "acdeeghiijklmhopqrstyvwxbABCEEHIIJKMOPQSTYWX" "abyeiknoptuxwABEZHIKMNOPTYX" "wounhgLOU" "iag",
)
"""Letters of Cyrillic, Greek, Armenian and Latin's rarer corners that pass for a Latin one, most of them in Unicode's list of confusables."""
_WORD: Final = re.compile(r"[^\W\d_]+")
_MOST_MARKS: Final = 4
"""Combining marks in a row that some language needs; a longer pile is decoration."""
# Of bounded length, since the library takes quadratic time, or worse, for a chain of joiners.
_MAYBE_EMOJI: Final = re.compile(r"[^\x00-\x7f]{1,64}")
_SKIN_TONE: Final = re.compile(r"_(?:medium-)?(?:light|medium|dark)_skin_tone")


@dataclass(frozen=True, slots=True)
class Windows:
    """Parts of a sequence of tokens, in order; the first and the last token are always in one."""

    parts: tuple[slice, ...]
    truncated: bool
    """Whether some token is in no part."""


def readings(text: str) -> tuple[str, ...]:
    """The texts to judge for ``text``: itself, and ``clean(text)`` where that differs in more than white space."""
    legible = _NO_CHARACTER.sub("\ufffd", text)
    cleaned = clean(legible)
    return (legible,) if cleaned.split() == legible.split() else (legible, cleaned)


def spell_emoji(text: str) -> str:
    """``text`` with the English name of each emoji in its place, for a model that knows no emoji; a row of the same is named once.

    Skin tones are left out: what people say of themselves by one is no part of what they do to others.
    """
    return _MAYBE_EMOJI.sub(lambda found: _spelled(found[0]), text)


def clean(text: str) -> str:
    """``text`` without invisible characters and piled-up marks, in ordinary letters (NFKC), white space collapsed.

    Undoes zero-width, fullwidth, mathematical, circled, zalgo and look-alike disguises; leetspeak stays. At most
    ``MAX_TEXT_CHARS`` of the text are read. Takes time in proportion to the text, whatever it holds.
    """
    text = text[:MAX_TEXT_CHARS]
    if not text.isascii():
        # Python before 3.11.8 normalises a run of marks in quadratic time, so the piles go first.
        text = _in_latin(unicodedata.normalize("NFKC", _without_piles(_INVISIBLE.sub("", text))))
    # NFKC can make one character eighteen.
    return " ".join(text[:MAX_TEXT_CHARS].split())


def windows(tokens: int, *, size: int, stride: int, most: int) -> Windows:
    """Cover ``tokens`` tokens by parts of ``size`` that begin ``stride`` apart, the last one ending at the end.

    Where that takes more than ``most`` (2 or more), the parts are spread evenly from the first to the last.
    """
    if tokens <= size:
        return Windows((slice(0, tokens),), truncated=False)
    starts = [*range(0, tokens - size, stride), tokens - size]
    if truncated := len(starts) > most:
        starts = [starts[i * (len(starts) - 1) // (most - 1)] for i in range(most)]
    return Windows(tuple(slice(start, start + size) for start in starts), truncated)


def _spelled(part: str) -> str:
    spelled: list[str] = []
    for (_, is_text), same in groupby(emoji.analyze(part, non_emoji=True), lambda token: (token.chars, isinstance(token.value, str))):
        first = next(same)
        if is_text:
            spelled += [first.chars, *(token.chars for token in same)]
        else:
            name = _SKIN_TONE.sub("", emoji.demojize(first.chars, delimiters=("", "")))
            spelled.append(f" {name.replace('_', ' ')} ")
    return "".join(spelled)


def _in_latin(text: str) -> str:
    """Words that can be read as Latin in Latin letters: those with a Latin letter, and all of them in a text that is a third Latin."""
    letters = "".join(_WORD.findall(text))
    latin = len(letters.encode("ascii", "ignore"))
    everywhere = latin >= len(letters) / 3

    def read(found: re.Match[str]) -> str:
        word = found[0]
        translated = word.translate(_LOOK_ALIKES)
        disguised = translated.isascii() and (everywhere or any(letter.isascii() for letter in word))
        return translated if disguised else word

    return _WORD.sub(read, text) if 0 < latin < len(letters) else text


def _without_piles(text: str) -> str:
    kept = []
    for marks, group in groupby(text, _is_mark):
        run = "".join(group)
        if not marks or len(run) <= _MOST_MARKS:
            kept.append(run)
    return "".join(kept)


def _is_mark(character: str) -> bool:
    # The halfwidth Japanese sound marks are letters that NFKC turns into marks.
    return unicodedata.category(character)[0] == "M" or character in "\uff9e\uff9f"

"""Feeds bytes to the reading of entries, guided by coverage: python tests/fuzz/fuzz_entry.py [libFuzzer's options] [FOLDERS]."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import atheris

with atheris.instrument_imports():
    from modq.errors import InvalidPost
    from modq.post import FIELD, FIELDS, decode, encode
    from modq_worker.whose import Selector, read_content

WHOSE = Selector(author="ada", post_id="1")
NAMES = [*sorted(FIELDS), "v", "__type__", ""]


def fuzz(data: bytes) -> None:
    """Read the bytes themselves, or an entry that they describe, which gets further into the code."""
    chosen = atheris.FuzzedDataProvider(data)
    read(described(chosen) if chosen.ConsumeBool() else data)


def described(chosen: Any) -> bytes:
    """An object of known and unknown fields, each with any value."""
    fields = {"id": "1", "text": "a"} if chosen.ConsumeBool() else {}
    for _ in range(chosen.ConsumeIntInRange(0, 5)):
        fields[chosen.PickValueInList(NAMES)] = value(chosen, chosen.ConsumeIntInRange(0, 9))
    return json.dumps(fields).encode()


def value(chosen: Any, kind: int) -> Any:
    """Text, a number, a time, a nest of lists, an object, or nothing."""
    if kind < 3:
        return chosen.ConsumeUnicode(chosen.ConsumeIntInRange(0, 300))
    if kind < 5:
        return (chosen.ConsumeInt(8), chosen.ConsumeFloat(), chosen.ConsumeBool(), None)[chosen.ConsumeIntInRange(0, 3)]
    if kind < 7:
        year, month, day, hour, zone = (chosen.ConsumeIntInRange(0, most) for most in (3, 12, 31, 24, 14))
        year = (1, 2026, 9999, 0)[year]
        return f"{year:04}-{month:02}-{day:02}T{hour:02}:00:00{chosen.PickValueInList(['Z', '', f'+{zone:02}:00', f'-{zone:02}:00'])}"
    if kind == 7:
        nest: Any = 0
        for _ in range(chosen.ConsumeIntInRange(0, 900)):
            nest = [nest]
        return nest
    return {chosen.ConsumeUnicode(5): value(chosen, kind - 4) for _ in range(chosen.ConsumeIntInRange(0, 3))}


def read(raw: bytes) -> None:
    """An entry is read as a post or refused; any other error is a finding, and so is a post that is not the same when sent again."""
    content = read_content({FIELD.encode(): raw})
    WHOSE.mentioned_in(raw)
    with contextlib.suppress(InvalidPost):
        post = decode(raw)
        assert decode(encode(post)) == post
        # What can be judged can be erased.
        assert content is not None
        assert Selector(post.author, post.id, post.source).fits(content)
        assert content.quotable == (post.source, post.content_hash)


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()

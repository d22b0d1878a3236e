"""Entries of every version ever sent are read for ever as the same posts, with the same keys."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from modq.post import Post, decode, encode

FOLDER = Path(__file__).parent / "golden" / "v1"
EXPECTED = json.loads((FOLDER / "posts.json").read_text())


def test_every_golden_entry_has_its_expected_post() -> None:
    assert {path.stem for path in FOLDER.glob("*.entry")} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_golden_entry_is_read_as_it_was_when_it_was_made(name: str) -> None:
    expected = EXPECTED[name]
    fields = expected["post"] | {"created_at": (time := expected["post"]["created_at"]) and datetime.fromisoformat(time)}

    post = decode((FOLDER / f"{name}.entry").read_bytes())

    assert post == Post(**fields)
    # A verdict is unique by the key: another way of computing it would judge every post again.
    assert (post.content_hash.hex(), str(post.key)) == (expected["content_hash"], expected["key"])


@pytest.mark.parametrize("name", ["minimal", "full"])
def test_what_this_version_sends_is_what_it_always_sent(name: str) -> None:
    raw = (FOLDER / f"{name}.entry").read_bytes()

    assert encode(decode(raw)) == raw

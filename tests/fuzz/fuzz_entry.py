"""Feeds bytes to the reading of entries, guided by coverage: python tests/fuzz/fuzz_entry.py [libFuzzer's options] [FOLDERS]."""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from modq.errors import InvalidPost
    from modq.post import FIELD, decode, encode
    from modq_worker.whose import Selector, read_content

WHOSE = Selector(author="ada", post_id="1")


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
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()

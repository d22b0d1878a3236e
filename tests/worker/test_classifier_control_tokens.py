"""Whoever writes a post cannot steer the model: what looks like a control token is text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.worker.tiny_models import Tiny, make_bert, make_gemma

from modq_worker.adapter import load_adapter
from modq_worker.lora import load_tokenizer
from modq_worker.tokens import Tokens


@pytest.fixture(scope="module", params=[make_gemma, make_bert], ids=["gemma", "bert"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return request.param(tmp_path_factory.mktemp("tiny")).pin()


def test_no_text_becomes_a_control_token(tiny: Tiny) -> None:
    tokenizer = load_tokenizer(load_adapter(tiny.adapter), tiny.base)
    control = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    text = " ".join(["kal", *control, *control, "losh"])
    assert set(tokenizer(text)["input_ids"]) >= set(control.values()), "the tokenizer alone would take them for control tokens"

    [reading] = Tokens(tokenizer, max_length=256, max_windows=16).read([text])
    [window] = reading.windows
    frame = tokenizer("")["input_ids"]
    inside = list(window)
    for number in frame:
        inside.remove(number)
    assert not set(inside) & (set(control.values()) - {tokenizer.unk_token_id})
    assert len(inside) > 20, "the characters themselves are still read"


def test_an_empty_text_is_a_window_too(tiny: Tiny) -> None:
    tokenizer = load_tokenizer(load_adapter(tiny.adapter), tiny.base)
    [reading] = Tokens(tokenizer, max_length=256, max_windows=16).read([""])
    assert [list(window) for window in reading.windows] == [tokenizer("")["input_ids"]]


def test_padding_and_truncation_saved_with_a_tokenizer_do_not_count(tiny: Tiny, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(load_adapter(tiny.adapter), tiny.base)
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(length=128)
    short, long = Tokens(tokenizer, max_length=256, max_windows=16).read(["kal", "kal losh " * 50])
    assert len(short.windows[0]) < 8
    assert len(long.windows[0]) > 64

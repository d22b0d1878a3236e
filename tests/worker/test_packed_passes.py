"""Packing changes no score: each architecture says of windows in one row what transformers says of them padded."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from tests.worker.tiny_models import Tiny, card_scores, make_bert, make_gemma, make_gemma2, make_gemma3, make_llama, some_text
from torch.nn.attention import varlen
from torch.nn.functional import scaled_dot_product_attention

from modq_worker import packed
from modq_worker.adapter import load_adapter
from modq_worker.classifier import Classifier
from modq_worker.lora import load_model, load_tokenizer
from modq_worker.packed import PackedModel
from modq_worker.padded import PaddedModel

LENGTHS = [1, 1, 2, 3, 3, 3, 5, 8, 8, 13, 21, 34, 55, 60]
TEXTS = [some_text(words, seed=number) for number, words in enumerate(LENGTHS)] + ["", "Hello, World!"]
PACKED = {"bert": make_bert, "gemma": make_gemma, "gemma3": make_gemma3, "llama": make_llama}


@pytest.fixture(scope="module", params=PACKED.values(), ids=PACKED)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return request.param(tmp_path_factory.mktemp("tiny")).pin()


@pytest.fixture(scope="module")
def expected(tiny: Tiny) -> list[float]:
    scores = card_scores(tiny, TEXTS)
    assert max(scores) - min(scores) > 0.2, "a model that tells nothing apart proves nothing"
    return scores


def load(tiny: Tiny, dtype: Any = "float32", pass_tokens: int = 512) -> Classifier:
    return Classifier.load(tiny.adapter, backbone=tiny.base, device="cpu", dtype=dtype, pass_tokens=pass_tokens)


def forward_of(classifier: Classifier) -> object:
    return classifier.engine.forward


def scored(classifier: Classifier, texts: list[str]) -> list[float]:
    return [score.toxic for score in classifier.score(texts)]


@pytest.mark.parametrize("pass_tokens", [64, 512, 100_000])
def test_float32_scores_are_those_of_transformers_in_passes_of_any_size(tiny: Tiny, expected: list[float], pass_tokens: int) -> None:
    classifier = load(tiny, pass_tokens=pass_tokens)
    assert isinstance(forward_of(classifier), PackedModel)
    assert scored(classifier, TEXTS) == pytest.approx(expected, abs=1e-4)


def test_bfloat16_scores_are_close_to_those_of_float32(tiny: Tiny, expected: list[float]) -> None:
    assert scored(load(tiny, "bfloat16"), TEXTS) == pytest.approx(expected, abs=2e-2)


def test_any_order_and_any_company(tiny: Tiny, expected: list[float]) -> None:
    classifier, known = load(tiny), dict(zip(TEXTS, expected, strict=True))
    for seed in range(5):
        mixed = random.Random(seed).choices(TEXTS, k=1 + seed * 7)
        assert scored(classifier, mixed) == pytest.approx([known[text] for text in mixed], abs=1e-4)


def test_a_decoder_is_read_where_transformers_reads_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """At the last token that is not padding, also where a tokenizer ends texts by the token that pads."""
    model = load_tiny_model(make_gemma(tmp_path_factory.mktemp("tiny")).pin())
    pad = model.config.pad_token_id
    windows = [(2, 9, 8, 7), (2, 9, 8, pad), (2, 9, 8), (2, 9, pad, pad), (pad,)]
    one_by_one = [PaddedModel(model, pad=pad)([window])[0].tolist() for window in windows]
    assert one_by_one[1] == pytest.approx(one_by_one[2], abs=1e-4) != one_by_one[0]
    assert PackedModel(model, pad=pad)(windows) == pytest.approx(torch.tensor(one_by_one), abs=1e-4)


def load_tiny_model(tiny: Tiny) -> Any:
    adapter = load_adapter(tiny.adapter)
    pad = load_tokenizer(adapter, tiny.base).pad_token_id
    return load_model(adapter, tiny.base, pad=pad, device=torch.device("cpu"), dtype=torch.float32)


def test_the_kernel_of_gpus_is_asked_for_the_same(tiny: Tiny, expected: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself needs a GPU: here a plain reading of its documentation stands in for it."""
    monkeypatch.setattr(varlen, "varlen_attn", varlen_by_the_book)
    monkeypatch.setattr(packed, "_attention_for", lambda device, dtype: "modq_by_offsets")
    assert scored(load(tiny), TEXTS) == pytest.approx(expected, abs=1e-4)


def varlen_by_the_book(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> torch.Tensor:
    """``(tokens, heads, size)``; a token sees ``window_size`` others to its left and right, -1 for all."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    lengths = (cu_seq_q[1:] - cu_seq_q[:-1]).tolist()
    assert max(lengths) == max_q == max_k
    left, right = (reach if reach >= 0 else max_q for reach in window_size)
    parts = []
    for q, k, v in zip(*(x.split(lengths) for x in (query, key, value)), strict=True):
        ahead = torch.arange(len(q))[None, :] - torch.arange(len(q))[:, None]
        seen = (ahead <= right) & (-ahead <= left)
        part = scaled_dot_product_attention(*(x.transpose(0, 1)[None] for x in (q, k, v)), attn_mask=seen, scale=scale, enable_gqa=enable_gqa)
        parts.append(part[0].transpose(0, 1))
    return torch.cat(parts)


def test_an_architecture_that_was_not_tried_is_padded(tmp_path_factory: pytest.TempPathFactory) -> None:
    tiny = make_gemma2(tmp_path_factory.mktemp("tiny")).pin()
    classifier = load(tiny)
    assert isinstance(forward_of(classifier), PaddedModel)
    assert scored(classifier, TEXTS) == pytest.approx(card_scores(tiny, TEXTS), abs=1e-4)

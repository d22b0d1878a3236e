"""A GPU gives the scores of the CPU, in either half precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.worker.tiny_models import Tiny, card_scores, make_bert, make_gemma, make_gemma3, make_llama, some_text

from modq_worker.classifier import Classifier

TEXTS = ["You are a worthless piece of garbage and everybody hates you.", "Thanks a lot, that fixed my build.", "so what " * 500, "ok"]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16", "float32"])
def test_scores_on_a_gpu_are_close_to_those_of_the_cpu(dtype: str) -> None:
    expected = [score.toxic for score in Classifier.load(device="cpu", dtype="float32").score(TEXTS)]
    scores = Classifier.load(device="cuda", dtype=dtype).score(TEXTS)
    assert [score.toxic for score in scores] == pytest.approx(expected, abs=1e-3 if dtype == "float32" else 0.03)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("make", [make_bert, make_gemma, make_gemma3, make_llama])
def test_every_packed_architecture_scores_on_a_gpu_as_padded_on_a_cpu(make: Callable[[Path], Tiny], dtype: str, tmp_path: Path) -> None:
    tiny = make(tmp_path).pin()
    texts = [some_text(words, seed=words) for words in (1, 2, 3, 3, 3, 8, 13, 34, 60)]
    scores = Classifier.load(tiny.adapter, backbone=tiny.base, device="cuda", dtype=dtype).score(texts)
    assert [score.toxic for score in scores] == pytest.approx(card_scores(tiny, texts), abs=1e-3 if dtype == "float32" else 2e-2)

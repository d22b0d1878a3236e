"""A GPU gives the scores of the CPU, in either half precision."""

from __future__ import annotations

import pytest

from modq_worker.classifier import Classifier

TEXTS = ["You are a worthless piece of garbage and everybody hates you.", "Thanks a lot, that fixed my build.", "so what " * 500, "ok"]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16", "float32"])
def test_scores_on_a_gpu_are_close_to_those_of_the_cpu(dtype: str) -> None:
    expected = [score.toxic for score in Classifier.load(device="cpu", dtype="float32").score(TEXTS)]
    scores = Classifier.load(device="cuda", dtype=dtype).score(TEXTS)
    assert [score.toxic for score in scores] == pytest.approx(expected, abs=1e-3 if dtype == "float32" else 0.03)

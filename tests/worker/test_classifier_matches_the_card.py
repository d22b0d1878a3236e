"""An adapter as the card publishes it, imported and loaded, says what the card's own recipe says."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from tests.worker.tiny_models import REVISION, Tiny, card_scores, make_bert, make_gemma, some_text

from modq_worker.adapter import pin_adapter
from modq_worker.classifier import Classifier

TEXTS = [some_text(words, seed=words) for words in (1, 2, 3, 5, 8, 13, 21, 34, 55, 60)] + ["Hello, World!", "kal", "a b c"]


@pytest.fixture(scope="module", params=[make_gemma, make_bert], ids=["gemma", "bert"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return request.param(tmp_path_factory.mktemp("tiny")).pin()


@pytest.fixture(scope="module")
def classifier(tiny: Tiny) -> Classifier:
    return Classifier.load(tiny.adapter, backbone=tiny.base, device="cpu", dtype="float32")


def test_scores_are_those_of_the_cards_recipe(tiny: Tiny, classifier: Classifier) -> None:
    expected = card_scores(tiny, TEXTS)
    assert max(expected) - min(expected) > 0.2, "a model that tells nothing apart proves nothing"
    assert [score.toxic for score in classifier.score(TEXTS)] == pytest.approx(expected, abs=1e-4)


def test_a_score_depends_on_neither_order_nor_company(classifier: Classifier) -> None:
    alone = {text: classifier.score([text])[0].toxic for text in TEXTS}
    for seed in range(3):
        mixed = random.Random(seed).choices(TEXTS, k=30)
        assert [score.toxic for score in classifier.score(mixed)] == pytest.approx([alone[text] for text in mixed], abs=1e-4)


def test_no_texts_no_scores(classifier: Classifier) -> None:
    assert classifier.score([]) == []


def test_a_temperature_softens_the_scores(tiny: Tiny, classifier: Classifier, tmp_path: Path) -> None:
    folder = tmp_path / "softer"
    shutil.copytree(tiny.adapter, folder)
    pin_adapter(folder, base="tiny/model", revision=REVISION, base_folder=tiny.base, temperature=1000.0)
    softer = Classifier.load(folder, backbone=tiny.base, device="cpu", dtype="float32")
    assert [s.toxic for s in softer.score(TEXTS)] == pytest.approx([0.5] * len(TEXTS), abs=0.02)

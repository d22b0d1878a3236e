"""Nothing of a long text is cut off in silence: every window counts, and what no window covers is told."""

from __future__ import annotations

import pytest
import torch
from tests.worker.tiny_models import WORDS, Tiny, card_scores, make_gemma, some_text

from modq_worker.classifier import Classifier


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_gemma(tmp_path_factory.mktemp("tiny")).pin()


@pytest.fixture(scope="module")
def classifier(tiny: Tiny) -> Classifier:
    return Classifier.load(tiny.adapter, backbone=tiny.base, device="cpu", dtype="float32")


def window_scores(tiny: Tiny, text: str) -> list[float]:
    """The card's model on every window of 256 tokens, each made here by hand."""
    model, tokenizer = tiny.recipe()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    starts = [start for start in range(0, len(ids), 192) if start + 255 < len(ids)] + [len(ids) - 255]
    batch = torch.tensor([[tokenizer.bos_token_id, *ids[start : start + 255]] for start in starts])
    with torch.inference_mode():
        return model(input_ids=batch, attention_mask=torch.ones_like(batch)).logits.softmax(-1)[:, 1].tolist()


def test_a_long_text_scores_as_its_most_toxic_window(tiny: Tiny, classifier: Classifier) -> None:
    for seed in range(3):
        text = some_text(700, seed)
        expected = window_scores(tiny, text)
        assert len(expected) > 3
        [score] = classifier.score([text])
        assert score.toxic == pytest.approx(max(expected), abs=1e-4)
        assert not score.truncated


def test_a_toxic_end_is_seen_where_the_cards_recipe_cuts_it_off(tiny: Tiny, classifier: Classifier) -> None:
    scores = [score.toxic for score in classifier.score([f"{word} " * 60 for word in WORDS])]
    mildest, worst = (WORDS[scores.index(score)] for score in (min(scores), max(scores)))
    filler, tail = f"{mildest} " * 600, f"{worst} " * 60
    harmless, toxic = (score.toxic for score in classifier.score([filler, filler + tail]))
    assert toxic == pytest.approx(max(window_scores(tiny, filler + tail)), abs=1e-4)
    assert toxic > harmless + 0.1
    assert card_scores(tiny, [filler + tail]) == pytest.approx(card_scores(tiny, [filler]), abs=1e-6)


def test_a_text_of_more_windows_than_are_judged_says_truncated(tiny: Tiny) -> None:
    few = Classifier.load(tiny.adapter, backbone=tiny.base, device="cpu", dtype="float32", max_windows=2)
    assert [score.truncated for score in few.score(["kal", some_text(100, 1), some_text(3000, 1)])] == [False, False, True]


def test_a_text_too_long_to_be_a_post_is_judged_in_part_and_says_so(classifier: Classifier) -> None:
    passes: list[int] = []
    [score] = classifier.score(["kal " * 3_000_000], before_pass=lambda: passes.append(1))
    assert score.truncated
    assert len(passes) <= 16

"""An adapter says which rules of the constitution a text breaks, and how grave that is; what nobody knows of a text teaches it nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tests.training.small_world import CONSTITUTION, small_recipe, write_rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from modq_training.adapter_making import make_adapter
from modq_training.constitution import load_constitution
from modq_training.dataset import Example, InvalidDataset
from modq_training.fine_tuning import UNKNOWN, rule_targets
from modq_training.recipe import Mix
from modq_worker.adapter import AdapterRefused, load_adapter
from modq_worker.classifier import Classifier


@pytest.fixture(scope="module")
def constitution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("constitution") / "constitution.md"
    file.write_text(CONSTITUTION)
    return file


@pytest.fixture(scope="module")
def adapter(tiny_bert: Path, constitution: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ruled")
    data = write_rows(folder / "ruled.jsonl", rules=True)
    # It takes the tiny BERT longer to tell the rules apart than to tell toxic from safe.
    recipe = small_recipe(epochs=8, patience=90, rule_loss=1.0, dropout=0.0, base_dropout=0.0, learning_rate=2e-2)
    make_adapter(recipe, [data], folder / "adapter", backbone=tiny_bert, constitution=constitution, quiet=True)
    return folder / "adapter"


def test_the_classifier_says_which_rules_a_text_breaks_and_the_gravest_gives_the_severity(adapter: Path, tiny_bert: Path) -> None:
    classifier = Classifier.load(adapter, backbone=tiny_bert)
    high, low, safe = classifier.score(["our cook is worthless today", "our cook is stupid today", "our cook is lovely today"])
    assert (set(high.rules), high.severity) == ({"filth"}, "high")
    assert (set(low.rules), low.severity) == ({"mockery"}, "low")
    assert (safe.rules, safe.severity) == ({}, None)
    assert all(0.2 <= share <= 1 for score in (high, low) for share in score.rules.values())


def test_a_text_breaks_what_any_window_of_it_breaks(adapter: Path, tiny_bert: Path) -> None:
    [score] = Classifier.load(adapter, backbone=tiny_bert).score(["our cook is lovely today " * 40 + "our cook is worthless today " * 8 + "our cook is stupid today " * 8])
    assert (set(score.rules), score.severity) == ({"filth", "mockery"}, "high")


def test_the_adapter_pins_its_rules_and_the_constitution(adapter: Path, constitution: Path) -> None:
    pinned = load_adapter(adapter)
    # The rule that no text breaks is not learnt.
    assert [(rule.id, rule.severity) for rule in pinned.rules] == [("filth", "high"), ("mockery", "low")]
    assert pinned.constitution == load_constitution(constitution).sha256
    assert "rules.safetensors" in pinned.files


def test_peft_loads_it_with_two_labels_and_the_same_scores(adapter: Path, tiny_bert: Path) -> None:
    texts = ["our cook is filthy today", "our cook is lovely today", "that driver is clever"]
    base = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=2)
    model, tokenizer = PeftModel.from_pretrained(base, adapter).eval(), AutoTokenizer.from_pretrained(adapter)
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    margins = (logits[:, 1] - logits[:, 0]) / load_adapter(adapter).temperature
    told = [score.toxic for score in Classifier.load(adapter, backbone=tiny_bert, dtype="float32").score(texts)]
    assert told == pytest.approx(torch.sigmoid(margins).tolist(), abs=1e-5)


def test_a_second_head_that_is_not_of_one_row_per_rule_is_refused(adapter: Path, tiny_bert: Path, tmp_path: Path) -> None:
    for file in adapter.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    pin = json.loads((tmp_path / "adapter.json").read_text())
    pin["rules"] = pin["rules"][:1]
    (tmp_path / "adapter.json").write_text(json.dumps(pin))
    with pytest.raises(AdapterRefused, match="2 rows for 1 rules"):
        Classifier.load(tmp_path, backbone=tiny_bert)
    pin["rules"] = []
    (tmp_path / "adapter.json").write_text(json.dumps(pin))
    with pytest.raises(AdapterRefused, match="either name rules and pin"):
        load_adapter(tmp_path)


def test_a_rule_that_the_constitution_lacks_is_a_sentence(tiny_bert: Path, constitution: Path, tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text(write_rows(tmp_path / "rows.jsonl", rules=True).read_text().replace('"filth"', '"dirt"'))
    with pytest.raises(InvalidDataset, match="rule dirt"):
        make_adapter(small_recipe(), [data], tmp_path / "adapter", backbone=tiny_bert, constitution=constitution, quiet=True)


def test_what_nobody_said_of_a_text_is_unknown_and_everyday_talk_breaks_no_rule() -> None:
    mix = Mix(10, 0.5, neutral=("chat",))
    rules = ("filth", "mockery")
    assert rule_targets(Example("x", 1, "made", rules=("mockery",)), rules, mix) == [0, 1]
    assert rule_targets(Example("x", 0, "made", rules=()), rules, mix) == [0, 0]
    assert rule_targets(Example("x", 1, "rated"), rules, mix) == [UNKNOWN, UNKNOWN]
    assert rule_targets(Example("x", 0, "rated"), rules, mix) == [UNKNOWN, UNKNOWN]
    assert rule_targets(Example("x", 0, "chat"), rules, mix) == [0, 0]

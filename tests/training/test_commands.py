"""``modq fine-tune`` and ``modq evaluate``, as a user calls them, from labelled files to a model card."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.training.small_world import write_rows

RECIPES = """
[mix.small]
rows = 300
toxic_share = 0.5

[recipe.small]
mix = "small"
base = "tests/tiny-bert"
rank = 8
alpha = 16
dropout = 0.0
target_modules = ["query", "value"]
learning_rate = 1e-2
batch_rows = 8
batch_tokens = 128
max_tokens = 32
epochs = 1
validation_share = 0.2
"""


def modq(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "modq", *map(str, words)], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def made(tiny_bert: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with a space")
    (folder / "recipe.toml").write_text(RECIPES)
    arguments = ("--recipe", "small", "--recipes", folder / "recipe.toml", "--backbone", tiny_bert, "--revision", "a" * 40, "--threads", "1")
    done = modq("fine-tune", "--data", rows, "--output", folder / "adapter", *arguments)
    assert done.returncode == 0, done.stderr
    assert "threshold" in done.stdout
    return folder / "adapter"


def test_fine_tune_then_evaluate_leaves_figures_and_a_card_with_them(made: Path, tiny_bert: Path, rows: Path, tmp_path: Path) -> None:
    assert "## Training" in (made / "README.md").read_text()
    assert "## Results" not in (made / "README.md").read_text()
    held_out = write_rows(tmp_path / "held_out.jsonl", subjects=("the cook", "a stranger"))
    (tmp_path / "terms.txt").write_text("cook\nstranger\n")
    terms = ("--identity-terms", tmp_path / "terms.txt")
    baseline = ("--baseline", rows, "--recipe", "small", "--recipes", made.parent / "recipe.toml")
    done = modq("evaluate", made, "--data", held_out, "--backbone", tiny_bert, "--limit", "7", "held_out=90", *terms, *baseline)
    assert done.returncode == 0, done.stderr
    assert "held_out" in done.stdout
    facts = json.loads((made / "measured" / "evaluation.json").read_text())
    (result,) = facts["results"]
    assert result["rows"] == 96
    assert result["measured"]["n"] == 90
    assert result["measured"]["roc_auc"] > 0.9
    own, linear = facts["contenders"]
    assert own["results"][0] == result
    assert linear["results"][0]["measured"]["roc_auc"] > 0.9
    assert own["download_bytes"] > (tiny_bert / "model.safetensors").stat().st_size
    card = (made / "README.md").read_text()
    assert "| held_out | 90 |" in card
    assert "| held_out | 1.000 | 1.000 |" in card
    for plot in facts["plots"]:
        assert f"(measured/{plot})" in card
        assert (made / "measured" / plot).read_text().startswith("<?xml")
    assert facts["plots"] == ["reliability.svg", "comparison.svg", "speed.svg"]


def test_an_adapter_is_not_overwritten(made: Path, rows: Path, tiny_bert: Path) -> None:
    arguments = ("--recipe", "small", "--recipes", made.parent / "recipe.toml", "--backbone", tiny_bert, "--revision", "a" * 40)
    done = modq("fine-tune", "--data", rows, "--output", made, *arguments)
    assert done.returncode == 1
    assert "already holds an adapter" in done.stderr


def test_wrong_data_is_told_in_one_sentence(tmp_path: Path, made: Path) -> None:
    (tmp_path / "talk.jsonl").write_text('{"text": "hi"}\n')
    done = modq("evaluate", made, "--data", tmp_path / "talk.jsonl")
    assert done.returncode == 1
    assert done.stderr.strip() == "modq evaluate: row 1 of talk.jsonl has no text, or no label 0 or 1."

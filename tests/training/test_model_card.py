"""The model card holds a section only for what was measured, and no number that was not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from tests.training.small_world import small_recipe

from modq_training.adapter_making import make_adapter
from modq_training.evaluation import Result, summarise
from modq_training.metrics import measure
from modq_training.model_card import EVALUATION, known_data_sets, render_card, write_measured
from modq_training.recipe import load_recipe


@pytest.fixture(scope="module")
def trained(tiny_bert: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "adapter"
    make_adapter(small_recipe(), [rows], folder, backbone=tiny_bert, max_steps=5, quiet=True)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "adapter"))


def evaluated(folder: Path, *, rivals: Sequence[str] = ()) -> None:
    results = [
        Result("angry_talk", "0" * 64, 900, measure([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], 0.5), 1.0),
        Result("kind_talk", "1" * 64, 4, measure([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], 0.5), 1.0),
    ]
    one = {"threshold": 0.5, "summary": asdict(summarise(results)), "results": [asdict(result) for result in results]}
    contenders = [one | {"name": name, "kind": "linear", "download_bytes": None} for name in ("x", *rivals)]
    write_measured(folder, EVALUATION, {**one, "adapter": "x", "limits": {"": 4}, "seed": 0, "threads": 1, "contenders": contenders})


def headings(card: str) -> list[str]:
    return [line.lstrip("# ") for line in card.splitlines() if line.startswith("##")]


def front_matter(card: str) -> dict[str, object]:
    matter: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return matter


def test_an_adapter_of_which_nothing_was_measured_has_no_such_section(folder: Path) -> None:
    shutil.rmtree(folder / "measured")
    card = render_card(folder)
    assert headings(card) == ["Use", "Threshold", "Limits"]
    assert "model-index" not in front_matter(card)


def test_a_run_that_was_not_evaluated_has_no_results(folder: Path) -> None:
    assert headings(render_card(folder)) == ["Use", "Threshold", "Training", "Limits"]


def test_an_evaluation_shows_in_the_table_and_in_the_front_matter(folder: Path) -> None:
    evaluated(folder)
    card = render_card(folder)
    assert headings(card) == ["Use", "Threshold", "Training", "Results", "Limits"]
    assert "| angry_talk | 4 | 50.0 % | 0.750 (" in card
    assert "| kind_talk | 4 | 0.0 % | – | – | 1.000 | – | – | – | 0.000 (" in card
    (entry,) = front_matter(card)["model-index"]  # type: ignore[misc, attr-defined]
    measured = {result["dataset"]["name"]: {metric["type"]: metric["value"] for metric in result["metrics"]} for result in entry["results"]}
    assert measured == {
        "angry_talk": {"accuracy": 0.5, "roc_auc": 0.75, "pr_auc": 0.833, "precision": 0.5, "f1": 0.5, "recall": 0.5, "false_positive_rate": 0.5},
        "kind_talk": {"false_positive_rate": 0.0},
    }


def test_rivals_stand_beside_the_adapter_where_they_were_measured(folder: Path) -> None:
    evaluated(folder, rivals=["a list of words"])
    card = render_card(folder)
    assert "Next to others" in headings(card)
    assert "| data set | x | a list of words |" in card
    assert "| angry_talk | 0.750 | 0.750 |" in card
    assert "| kind_talk, FPR | 0.000 | 0.000 |" in card


def test_an_evaluation_alone_can_be_told(folder: Path) -> None:
    shutil.rmtree(folder / "measured")
    evaluated(folder)
    assert headings(render_card(folder)) == ["Use", "Threshold", "Results", "Limits"]


def test_every_source_that_the_shipped_mix_names_has_a_title_and_a_licence() -> None:
    mix = load_recipe("minilm").mix
    known = known_data_sets()
    for name in {*(name.split(":")[0] for name in mix.weights), *mix.neutral}:
        assert known[name]["licence"], name
        assert known[name]["url"], name

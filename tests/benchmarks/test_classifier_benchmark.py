"""The benchmark of the classifier runs by its one command, and ends well only where the scores are the recipe's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "classifier.py"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BENCHMARK, *words], capture_output=True, text=True, check=False, timeout=150)


def test_the_recipe_and_modq_score_alike(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ended = run("--smoke", "--dtype", "float32", "--json", file)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(file.read_text())
    assert figures["scores"]["compared"] >= 64
    assert figures["scores"]["largest_difference"] < 1e-4
    assert figures["times_the_recipe"]["modq"]["median"] > 0
    assert "times the recipe" in ended.stdout


def test_a_models_shape_is_measured_without_its_weights(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ended = run("--shape", "tiny", "--json", file)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(file.read_text())
    assert figures["scores"]["agree"]
    assert figures["lengths"].keys() == {"16", "64"}

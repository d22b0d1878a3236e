"""The README's table and the plot say what the benchmarks wrote, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPREAD = {"median": 86.71, "min": 81.8, "max": 91.1}
RESULT = {
    "benchmark": "pipeline",
    "date": "2026-11-24",
    "machine": {"processor": "A CPU", "instructions": ["avx2"], "cores": 2},
    "rounds": 5,
    "smoke": False,
    "findings": [
        {
            "what": "pipeline <all>",
            "unit": "posts a second",
            "ours": {"median": 28214.0, "min": 1, "max": 2},
            "yardstick": {"median": 318.2},
            "times": SPREAD,
        },
        {"what": "worker", "unit": "µs", "ours": {"median": 35.52, "min": 1, "max": 2}, "yardstick": None, "times": None, "headline": True},
        {"what": "Valkey", "unit": "µs", "ours": {"median": 9.9, "min": 1, "max": 2}, "yardstick": None, "times": None, "headline": False},
    ],
}


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.json").write_text(json.dumps(RESULT))
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- benchmarks: written by benchmarks/render.py -->\nold\n<!-- benchmarks end -->\nafter\n")
    return page


def render(readme: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks/render.py"), "--results", str(readme.parent), "--readme", str(readme), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_the_table_has_a_row_for_each_finding_of_note_and_leaves_the_page_around_it_alone(readme: Path) -> None:
    assert render(readme).returncode == 0
    page = readme.read_text()
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "| pipeline <all> | 28,200 posts a second | 318 | **86.7** (81.8 to 91.1) | `benchmarks/pipeline.py` |" in page
    assert "| worker | 35.5 µs |  |  | `benchmarks/pipeline.py` |" in page
    assert "A CPU, 2 cores, avx2" in page
    assert "Valkey" not in page
    assert "old" not in page


def test_the_plot_has_a_bar_for_each_comparison(readme: Path) -> None:
    render(readme)
    texts = [element.text for element in ET.parse(readme.parent / "times.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert "pipeline <all>" in texts
    assert "86.7" in texts
    assert "worker" not in texts


def test_checking_writes_nothing_and_tells_whether_the_page_is_old(readme: Path) -> None:
    before = readme.read_text()
    assert render(readme, "--check").returncode == 1
    assert readme.read_text() == before
    render(readme)
    assert render(readme, "--check").returncode == 0


def test_a_smoke_run_is_no_result(readme: Path) -> None:
    (readme.parent / "store.json").write_text(json.dumps(RESULT | {"smoke": True}))
    before = readme.read_text()
    assert "measures nothing" in render(readme).stderr
    assert readme.read_text() == before


def test_a_page_without_the_marks_is_left_as_it_is(readme: Path) -> None:
    readme.write_text("no marks\n")
    done = render(readme)
    assert done.returncode == 1
    assert "no place for the table" in done.stderr
    assert readme.read_text() == "no marks\n"


def test_the_readme_tells_what_the_results_in_this_repository_say() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "benchmarks/render.py"), "--check"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr

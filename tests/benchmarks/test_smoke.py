"""Every benchmark does the work that it measures; how fast is no matter of these tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ["publish", "store", "pipeline", "latency", "scale", "end_to_end"]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_does_its_work_and_writes_what_it_found(name: str, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    # Each checks for itself that every post it published has its one outcome, and ends with an error if not.
    done = run(f"{name}.py", "--smoke", "--json", str(file))
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    assert (result["benchmark"], result["smoke"]) == (name, True)
    assert result["machine"]["cores"] == os.cpu_count()
    for finding in result["findings"]:
        assert finding["what"] in done.stdout
        assert 0 <= finding["ours"]["min"] <= finding["ours"]["median"] <= finding["ours"]["max"]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(ROOT / folder) for folder in ("producer", "worker"))
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=170, env=os.environ | {"PYTHONPATH": path})

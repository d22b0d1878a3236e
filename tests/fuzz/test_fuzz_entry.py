"""A short run of the fuzzer over the reading of entries; CONTRIBUTING.md has the command for a long one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = 20_000
GOLDEN = ROOT / "tests/producer/golden/v1"


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this machine")
def test_no_bytes_that_a_fuzzer_finds_break_the_reading_of_entries(tmp_path: Path) -> None:
    options = [
        f"-runs={RUNS}",
        "-seed=1",
        "-max_len=4096",
        "-timeout=10",
        f"-dict={Path(__file__).with_name('entry.dict')}",
        f"-artifact_prefix={tmp_path}/",
    ]
    folders = [str(tmp_path / "found"), str(GOLDEN)]
    (tmp_path / "found").mkdir()
    path = os.pathsep.join([str(ROOT / "producer"), str(ROOT / "worker")])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_entry.py")), *options, *folders],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS}" in done.stderr

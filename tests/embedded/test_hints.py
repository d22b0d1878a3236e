"""What people are told to type next works, and shows no password."""

from pathlib import Path

import pytest

from modq_worker.hints import called_as, home_prefix, masked


def test_no_url_shows_its_password() -> None:
    assert masked("redis://:secret@127.0.0.1:1/0") == "redis://:***@127.0.0.1:1/0"
    assert masked("postgresql://modq:secret@host/modq") == "postgresql://modq:***@host/modq"
    assert masked("redis://host:6379/0") == "redis://host:6379/0"


def test_a_home_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODQ_HOME", raising=False)
    assert home_prefix(tmp_path / ".modq") == ""
    assert home_prefix(tmp_path / ".modq" / "demo") == "MODQ_HOME=.modq/demo "
    assert home_prefix(Path("/some where/else")) == "MODQ_HOME='/some where/else' "


def test_the_command_is_the_one_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODQ_CALLED_AS", raising=False)
    assert called_as() == "modq"
    monkeypatch.setenv("MODQ_CALLED_AS", "python3 run.py")
    assert called_as() == "python3 run.py"

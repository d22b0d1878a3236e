"""However a stack ends, no process of it is left, and the folder can be used at once."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from .conftest import Command, wait_until


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_running(command: Callable[..., Command], how: signal.Signals) -> None:
    up = command("up", "--forum")
    up.wait_for("Loading the model")
    assert wait_until(lambda: len([name for name in up.processes() if "modq work" in name or "valkey" in name or "-D data" in name]) >= 3)
    up.popen.send_signal(how)
    up.popen.wait(30)
    assert wait_until(lambda: not up.processes()), up.processes()
    assert up.popen.returncode == (-9 if how == signal.SIGKILL else 0)


def test_after_kill_9_of_everything_the_next_stack_starts_with_the_data(command: Callable[..., Command], tmp_path: Path) -> None:
    first = command("up")
    first.wait_for("Loading the model")
    _write(tmp_path)
    first.popen.kill()
    second = command("up")
    second.wait_for("Loading the model")
    assert _read(tmp_path) == (b"yes", 1)
    second.popen.send_signal(signal.SIGINT)
    assert second.popen.wait(30) == 0


def test_a_stack_that_is_stopped_takes_its_announcement_with_it(command: Callable[..., Command], tmp_path: Path) -> None:
    up = command("up")
    up.wait_for("Loading the model")
    announced = tmp_path / ".modq" / "running.json"
    assert announced.stat().st_mode & 0o077 == 0
    password = json.loads(announced.read_text())["redis_url"].split(":")[2].partition("@")[0]
    up.popen.terminate()
    up.popen.wait(30)
    assert not announced.exists()
    assert password not in up.output


def test_a_second_stack_in_the_folder_is_told_so(command: Callable[..., Command]) -> None:
    first = command("up")
    first.wait_for("Loading the model")
    second = command("up")
    assert second.popen.wait(20) == 1
    assert f"already runs in {first.folder / '.modq'} (process {first.popen.pid})" in second.output
    assert "Traceback" not in second.output
    assert first.popen.poll() is None


def _running(folder: Path) -> dict[str, str]:
    announced: dict[str, str] = json.loads((folder / ".modq" / "running.json").read_text())
    return announced


def _write(folder: Path) -> None:
    with redis.Redis.from_url(_running(folder)["redis_url"]) as client, psycopg.connect(_running(folder)["database_url"]) as connection:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 5000)
        connection.execute("INSERT INTO endpoints (url, secrets, events) VALUES ('https://kept.example', '{}', '{}')")


def _read(folder: Path) -> tuple[object, object]:
    with redis.Redis.from_url(_running(folder)["redis_url"]) as client, psycopg.connect(_running(folder)["database_url"]) as connection:
        row = connection.execute("SELECT count(*) FROM endpoints WHERE url = 'https://kept.example'").fetchone()
        assert row
        return client.get("kept"), row[0]

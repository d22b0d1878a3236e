"""The supervisor starts again what ends, patiently, and stops what does not want to."""

import sys
import time
from pathlib import Path

from modq_worker.supervisor import Program, Supervisor

from .conftest import wait_until


def test_what_ends_is_started_again_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(tmp_path, told.append)
    supervisor.start(Program("short", (sys.executable, "-S", "-c", "print('once more'); raise SystemExit(3)")))
    try:
        assert wait_until(lambda: supervisor.look() or len(told) >= 3)
    finally:
        supervisor.stop()
    assert "short ended (with status 3) and is started again" in told[0]
    assert supervisor.log_of("short").read_text().count("once more") >= 3


def test_what_ends_at_once_again_and_again_gets_longer_pauses(tmp_path: Path) -> None:
    told: list[float] = []
    supervisor = Supervisor(tmp_path, lambda _: told.append(time.monotonic()))
    supervisor.start(Program("short", (sys.executable, "-S", "-c", "raise SystemExit(1)")))
    try:
        assert wait_until(lambda: supervisor.look() or len(told) >= 4)
    finally:
        supervisor.stop()
    assert told[3] - told[2] > told[1] - told[0]


def test_what_does_not_listen_is_killed_in_time(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, print)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    supervisor.start(Program("deaf", (sys.executable, "-S", "-c", deaf)))
    assert wait_until(lambda: "deaf" in supervisor.log_of("deaf").read_text())
    pid, began = supervisor.pid("deaf"), time.monotonic()
    supervisor.stop(patience=0.3)
    assert time.monotonic() - began < 3
    assert not Path(f"/proc/{pid}").exists()


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        supervisor = Supervisor(tmp_path, print)
        supervisor.start(Program("say", (sys.executable, "-S", "-c", f"import time; print('{word}', flush=True); time.sleep(60)")))
        assert wait_until(lambda supervisor=supervisor, word=word: word in supervisor.log_of("say").read_text())
        supervisor.stop()
    assert (tmp_path / "say.log.1").read_text() == "first\n"
    assert (tmp_path / "say.log").read_text() == "second\n"

"""modq up: the whole stack, looked after, and a forum to post to."""

import os
import re
import signal
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from .conftest import Command, wait_until


def test_a_worker_that_ends_is_started_again_and_the_forum_hides_what_is_toxic(command: Callable[..., Command], tmp_path: Path) -> None:
    up = command("up", "--forum")
    up.wait_for("Ready")
    forum = re.search(r"Forum +(\S+)", up.output)
    assert forum
    os.kill(_worker(up), signal.SIGKILL)
    up.wait_for("worker-1 ended (by signal 9) and is started again")
    _say(forum[1], "You are a disgusting idiot, <b>go away</b>")
    _say(forum[1], "What a lovely morning")
    assert wait_until(lambda: "hidden by moderation" in _page(forum[1]), 90), (tmp_path / ".modq/logs/worker-1.log").read_text()
    page = _page(forum[1])
    assert "What a lovely morning" in page
    assert "disgusting idiot" not in page
    up.popen.send_signal(signal.SIGINT)
    assert up.popen.wait(30) == 0
    assert wait_until(lambda: not up.processes()), up.processes()


def test_a_worker_that_cannot_start_is_told_in_one_sentence(command: Callable[..., Command], tmp_path: Path) -> None:
    up = command("up", MODQ_ADAPTER=str(tmp_path / "nowhere"))
    assert up.popen.wait(60) == 1
    assert "worker-1 ended with status 1 before it was ready" in up.output
    assert "nowhere" in up.output
    assert "Traceback" not in up.output
    assert wait_until(lambda: not up.processes()), up.processes()


def _worker(up: Command) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        if up._owns(process) and b"\0work\0" in (process / "cmdline").read_bytes():
            return int(process.name)
    raise AssertionError("there is no worker")


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _say(forum: str, text: str) -> None:
    with _DIRECT.open(forum, urllib.parse.urlencode({"author": "ada", "text": text}).encode(), timeout=10):
        pass


def _page(forum: str) -> str:
    with _DIRECT.open(forum, timeout=10) as answer:
        return str(answer.read().decode())

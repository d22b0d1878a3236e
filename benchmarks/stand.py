"""A stand to measure on: a Valkey and a Postgres of its own, and worker processes whose CPU time is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from posts import made_up
from sqlalchemy import Engine, text

from modq import Post
from modq.post import LANES, stream_of
from modq.signature import new_secret
from modq_worker.child import start_child, stop_child
from modq_worker.database import connected
from modq_worker.embedded import PostgresServer, ValkeyServer
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import Endpoints
from modq_worker.migrate import migrate
from modq_worker.stream import ALIVE, connect

HERE: Final = Path(__file__).resolve().parent
TOXIC_EVERY: Final = 100
"""One post of so many is toxic to the quiet judge, and so causes a delivery."""

SENTENCE: Final = (
    "A text of the length that most posts have, some hundred and forty characters long, which is what we found in public data sets of comments."
)
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Stand:
    """Servers as they are in production (AOF, synchronous commits), one endpoint that wants flags, and the workers started on them."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Stand:
        with ExitStack() as exits:
            self.folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="modq-benchmark-")))
            self.valkey = exits.enter_context(ValkeyServer(self.folder / "valkey"))
            self.postgres = exits.enter_context(PostgresServer(self.folder / "postgres"))
            migrate(self.postgres.url())
            self.redis: Any = exits.enter_context(connect(self.valkey.url))
            self.engine: Engine = exits.enter_context(connected(self.postgres.url()))
            Endpoints(self.engine, EndpointRules(allow_private=True)).add("http://127.0.0.1:9/", new_secret())
            exits.callback(self._stop_workers)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._exits.close()

    # Workers

    def start_modq(self, name: str = "modq", *, quiet: bool = True, wait: bool = True, **settings: str) -> None:
        """Start a worker of modq, ``quiet`` without its model, and ``wait`` until it judges or listens."""
        command = [str(HERE / "quiet_worker.py")] if quiet else ["-m", "modq", "work"]
        if quiet:
            # Remembering scores is the classifier's business.
            settings["MODQ_SCORE_CACHE"] = "0"
        pid = self._start(name, [*command, "--name", f"{name}@benchmark"], settings)
        if wait:
            self.wait_until(lambda: any(self.redis.scan_iter(f"{ALIVE}*:{pid}:*", count=1000)), name)

    def start_naive(self, name: str = "naive", **settings: str) -> None:
        """Start the yardstick: Celery's default pool with one process. It takes what is published once it is up."""
        options = ["worker", "--concurrency=1", "--loglevel=WARNING", "--without-gossip", "--without-mingle", f"--hostname={name}@benchmark"]
        self._start(name, ["-m", "celery", "--quiet", "-A", "naive_worker", *options], settings)

    def _start(self, name: str, command: list[str], settings: dict[str, str]) -> int:
        path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        connections = {"MODQ_REDIS_URL": self.valkey.url, "MODQ_DATABASE_URL": self.postgres.url()}
        environment = os.environ | connections | {"PYTHONPATH": path} | settings
        self._workers[name] = start_child([sys.executable, *command], death_signal=signal.SIGKILL, log=self.log_of(name), environment=environment)
        return self._workers[name].pid

    def stop(self, name: str) -> None:
        """End one worker in good order."""
        stop_child(self._workers.pop(name), signal.SIGTERM)

    def _stop_workers(self) -> None:
        for name in list(self._workers):
            self.stop(name)

    def log_of(self, name: str) -> Path:
        """The file in which the worker logs."""
        return self.folder / f"{name}.log"

    # What it costs

    def cpu_seconds(self) -> float:
        """CPU seconds of all workers so far, their children's included; in steps of 10 ms."""
        return sum(map(self._cpu_of, self._workers.values()))

    def cpu_of_servers(self) -> tuple[float, float]:
        """CPU seconds of Valkey and of Postgres so far."""
        return self._cpu_of(self.valkey.process), self._cpu_of(self.postgres.process)

    def memory(self) -> dict[str, int]:
        """Bytes that the workers and the servers hold now; what processes share is shared out between them."""
        processes = {**self._workers, "valkey": self.valkey.process, "postgres": self.postgres.process}
        return {name: sum(map(_resident, _tree(process.pid))) for name, process in processes.items() if process}

    def _cpu_of(self, process: subprocess.Popen[bytes] | None) -> float:
        return sum(map(_cpu_seconds, _tree(process.pid))) if process else 0.0

    # What came of it

    def wait_until_drained(self) -> None:
        """Wait until every post that was published has its outcome, in the store and off the queue."""
        self.wait_until(lambda: not self.waiting(), "the queue")

    def waiting(self) -> int:
        """Posts on the queue without an outcome."""
        return sum(int(self.redis.xlen(stream_of(lane))) for lane in LANES)

    def check(self, posts: int) -> None:
        """Every one of so many made posts has one verdict, and every toxic one its delivery; else the benchmark ends here."""
        kept = {table: self.count(table) for table in ("posts", "verdicts", "deliveries", "dead_letters")}
        expected = {"posts": posts, "verdicts": posts, "deliveries": -(-posts // TOXIC_EVERY), "dead_letters": 0}
        if kept != expected:
            sys.exit(f"the store holds {kept}, and should hold {expected}")

    def wait_until(self, condition: Callable[[], object], whom: str, seconds: float = 600) -> None:
        """Wait until it holds; fails when a worker ends meanwhile, or at the end of ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            for name, worker in self._workers.items():
                if worker.poll() is not None:
                    sys.exit(f"{name} ended with status {worker.returncode}:\n{self.log_of(name).read_text()[-2000:]}")
            if time.monotonic() > deadline:
                sys.exit(f"{whom}: not done after {seconds:.0f} s")
            time.sleep(0.02)

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self.query(f"SELECT count(*) FROM {table}")

    def query(self, query: str) -> int:
        """The one number that the store answers."""
        with self.engine.connect() as connection:
            return int(connection.execute(text(query)).scalar_one())


def like_posts(count: int, tag: str, seed: int) -> Iterator[Post]:
    """Posts for a real model, of as many words as posts have, no two alike."""
    for number, words in enumerate(made_up(count, seed)):
        yield Post(f"{tag}-{number}", f"{words} {number}", "forum")


def made_posts(count: int, tag: str) -> Iterator[Post]:
    """Posts of one length, no two alike, the first of every hundred toxic to the quiet judge."""
    for number in range(count):
        mark = "!" if number % TOXIC_EVERY == 0 else ""
        yield Post(f"{tag}-{number}", f"{mark}{SENTENCE} {number}", "forum", author=f"author-{number % 1000}")


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return
    for child in children:
        yield from _tree(child)


def _cpu_seconds(pid: int) -> float:
    try:
        # After the name, which may hold anything: the 14th to 17th fields are user and system time, one's own and of ended children.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

"""All of modq as real processes on servers of its own, with faults to order, and the account that must balance after them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
import sqlalchemy
from tests.faults.account import Account, parked_posts
from tests.faults.proxy import FaultProxy
from tests.faults.site import Site

from modq import Post, Producer
from modq.post import LANES, Lane, stream_of
from modq_worker.embedded import PostgresServer, ValkeyServer
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import Endpoints
from modq_worker.migrate import migrate
from modq_worker.stream import ALIVE, GROUP

ROOT = Path(__file__).resolve().parent.parent.parent


class World:
    """Valkey and Postgres behind fault proxies, two workers and a notifier under a supervisor, a producer, a site.

    ``fault_at`` names points of the code at which a worker or the notifier dies, see ``harmful_worker`` and
    ``harmful_notifier``; ``disk`` is the folder of Postgres, if not one below ``folder``.
    """

    def __init__(self, folder: Path, *, workers: int = 2, fault_at: str = "", disk: Path | None = None) -> None:
        self.folder = folder
        self.valkey = ValkeyServer(folder / "valkey")
        self.postgres = PostgresServer((disk or folder) / "postgres", fast=True)
        self.site = Site()
        self.restarts: Counter[str] = Counter()
        self._workers = workers
        self._fault_at = fault_at
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._supervising = threading.Event()
        self._producers: list[subprocess.Popen[bytes]] = []
        self._sent: list[Path] = []

    def __enter__(self) -> World:
        self.valkey.start()
        self.postgres.start()
        migrate(self.postgres.url())
        self.to_valkey, self.to_postgres = FaultProxy(self.valkey.port), FaultProxy(self.postgres.port)
        self.to_valkey_for_producers = FaultProxy(self.valkey.port)
        self.redis: Any = redis.Redis.from_url(self.valkey.url)
        self.engine = sqlalchemy.create_engine(self.postgres.url().replace("postgresql://", "postgresql+psycopg://"), poolclass=sqlalchemy.NullPool)
        Endpoints(self.engine, EndpointRules(allow_private=True)).add(self.site.start(), secret=self.site.secret)
        self._environment = os.environ | {
            "MODQ_REDIS_URL": self._through(self.to_valkey),
            "MODQ_DATABASE_URL": self.postgres.url().replace(str(self.postgres.port), str(self.to_postgres.port)),
            "MODQ_ALLOW_PRIVATE_ENDPOINTS": "true",
            "FAULT_AT": self._fault_at,
            "FAULT_MARKS": str(self.folder),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "producer", ROOT / "worker", ROOT / "training", ROOT))),
        }
        self._start_children()
        try:
            self.wait_for(lambda: len(self.redis.keys(ALIVE + "*")) >= self._workers, 150)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._supervising.set()
        self._supervisor.join()
        for child in (*self._children.values(), *self._producers):
            child.kill()
            child.wait()
        self.site.stop()
        self.redis.close()
        for proxy in (self.to_valkey, self.to_postgres, self.to_valkey_for_producers):
            proxy.close()
        self.postgres.stop()
        self.valkey.stop()

    def _through(self, proxy: FaultProxy) -> str:
        return self.valkey.url.replace(str(self.valkey.port), str(proxy.port))

    # Processes

    def _start_children(self) -> None:
        commands = {f"worker-{n}": ("-m", "tests.faults.harmful_worker", "--name", f"worker-{n}@test") for n in range(self._workers)}
        commands["notifier"] = ("-m", "tests.faults.harmful_notifier")
        for name, command in commands.items():
            self._start(name, command)
        self._supervisor = threading.Thread(target=self._supervise, args=(commands,), daemon=True)
        self._supervisor.start()

    def _start(self, name: str, command: tuple[str, ...]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=self._environment, cwd=ROOT)

    def _supervise(self, commands: dict[str, tuple[str, ...]]) -> None:
        """What systemd, compose or Kubernetes do: start again what ended."""
        while not self._supervising.wait(0.1):
            for name, command in commands.items():
                if self._children[name].poll() is not None:
                    self.restarts[name] += 1
                    self._start(name, command)

    @property
    def workers(self) -> list[str]:
        """The names of the workers."""
        return [f"worker-{number}" for number in range(self._workers)]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child."""
        self._children[name].send_signal(number)

    def kill_workers(self, *numbers: int) -> None:
        """kill -9 of these workers, or of all."""
        for number in numbers or range(self._workers):
            self.signal(f"worker-{number}", signal.SIGKILL)

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The child of that name as it is now."""
        return self._children[name]

    def log_of(self, name: str) -> str:
        """All that the child has logged."""
        return (self.folder / f"{name}.log").read_text()

    def cpu_seconds(self, name: str) -> float:
        """Processor time that the child has used so far."""
        user, system = Path(f"/proc/{self._children[name].pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    # Posts

    def produce(self, count: int, rate: float, lane: Lane = "live") -> subprocess.Popen[bytes]:
        """Start a producer process; its confirmed posts belong to the account."""
        file = self._new_file("")
        environment = self._environment | {"MODQ_REDIS_URL": self._through(self.to_valkey_for_producers)}
        command = [sys.executable, "-m", "tests.faults.publish", str(count), str(rate), str(file), lane]
        self._producers.append(subprocess.Popen(command, env=environment, cwd=ROOT))
        return self._producers[-1]

    def send(self, *posts: Post, lane: Lane = "live") -> None:
        """Publish these posts now, together; they belong to the account."""
        with Producer(self.valkey.url) as producer:
            producer.submit_many(posts, lane=lane)
        self._new_file("".join(f"{post.id}\n" for post in posts))

    def _new_file(self, content: str) -> Path:
        file = self.folder / f"confirmed-{len(self._sent)}"
        file.write_text(content)
        self._sent.append(file)
        return file

    def wait_for(self, condition: Callable[[], object], seconds: float, otherwise: str = "it did not happen in time") -> None:
        """Wait until the condition holds, or fail."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.1)

    # The account

    def account(self, seconds: float = 60) -> Account:
        """Wait until nothing is left to do, then count. Fails if it takes longer than that."""
        self.wait_for(lambda: self._left() == 0, seconds, "posts are left on the queue")
        self.wait_for(lambda: not self.one("SELECT count(*) FROM deliveries WHERE state = 'pending'"), seconds, "deliveries are still pending")
        return Account.close(self.engine, {id for file in self._sent for id in file.read_text().split()}, self.site)

    def parked(self) -> dict[str, str]:
        """The ids of the posts that became dead letters, and why."""
        return parked_posts(self.engine)

    def one(self, query: str) -> Any:
        """The one value that the query gives."""
        with self.engine.connect() as connection:
            return connection.execute(sqlalchemy.text(query)).scalar_one()

    def _left(self) -> int:
        """Entries on the streams, pending ones counted twice."""
        return sum(self.redis.xlen(stream_of(lane)) + self._pending(lane) for lane in LANES)

    def _pending(self, lane: Lane) -> int:
        try:
            return int(self.redis.xpending(stream_of(lane), GROUP)["pending"])
        except redis.ResponseError:
            return 0

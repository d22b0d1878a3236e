"""All of modq as real processes on servers of its own, with faults to order, and the account that must balance after them."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import sqlalchemy
from tests.faults.proxy import FaultProxy

from modq import open_flag
from modq.errors import InvalidPost
from modq.post import LANES, Lane, decode, stream_of
from modq_worker.embedded import PostgresServer, ValkeyServer
from modq_worker.migrate import migrate
from modq_worker.stream import ALIVE, GROUP

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@dataclass(frozen=True, slots=True)
class Account:
    """What became of every post that a producer saw confirmed."""

    confirmed: int
    verdicts: int
    dead_letters: int
    lost: int
    doubled: int
    unexpected: int
    """Verdicts on posts that nobody sent, or left on the queue with their outcome stored."""
    toxic: int
    told: int
    """Toxic verdicts of which the receiver heard, by webhook id."""
    ids_per_verdict: int
    """Distinct webhook ids per toxic verdict, at most."""
    worst_seconds: float
    """From publishing to the stored verdict."""


@dataclass
class Receiver:
    """A site that verifies every flag and remembers how often it came."""

    secret: str
    heard: Counter[str] = field(default_factory=Counter)
    ids_of_post: dict[str, set[str]] = field(default_factory=dict)

    def start(self) -> int:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                flag = open_flag(receiver.secret, dict(self.headers), body)
                receiver.heard[self.headers["webhook-id"]] += 1
                receiver.ids_of_post.setdefault(flag.post_id, set()).add(self.headers["webhook-id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return int(self.server.server_address[1])

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class World:
    """Valkey and Postgres behind fault proxies, two workers and a notifier under a supervisor, a producer, a receiver."""

    def __init__(self, folder: Path, *, workers: int = 2, notifier: bool = True, fault_at: str = "", real_model: bool = False) -> None:
        self.folder = folder
        self.valkey = ValkeyServer(folder / "valkey")
        self.postgres = PostgresServer(folder / "postgres", fast=True)
        self._workers = workers
        self._with_notifier = notifier
        self._fault_at = fault_at
        self._worker_command = ("-m", "modq", "work") if real_model else ("-m", "tests.faults.harmful_worker")
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._supervising = threading.Event()
        self._sent: list[Path] = []
        self.restarts: Counter[str] = Counter()

    def __enter__(self) -> World:
        self.valkey.start()
        self.postgres.start()
        migrate(self.postgres.url())
        self.to_valkey, self.to_postgres = FaultProxy(self.valkey.port), FaultProxy(self.postgres.port)
        self.to_valkey_for_producers = FaultProxy(self.valkey.port)
        self.redis: Any = redis.Redis.from_url(self.valkey.url)
        self.engine = sqlalchemy.create_engine(self.postgres.url().replace("postgresql://", "postgresql+psycopg://"), poolclass=sqlalchemy.NullPool)
        self._listen()
        self._environment = os.environ | {
            "MODQ_REDIS_URL": self.valkey.url.replace(str(self.valkey.port), str(self.to_valkey.port)),
            "MODQ_DATABASE_URL": self.postgres.url().replace(str(self.postgres.port), str(self.to_postgres.port)),
            "MODQ_ALLOW_PRIVATE_ENDPOINTS": "true",
            "FAULT_AT": self._fault_at,
            "FAULT_MARKS": str(self.folder),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "producer", ROOT / "worker", ROOT / "training", ROOT))),
        }
        self._start_children()
        self.wait_for(lambda: len(self.redis.keys(ALIVE + "*")) >= self._workers, 90)
        return self

    def __exit__(self, *_: object) -> None:
        self._supervising.set()
        self._supervisor.join()
        for child in self._children.values():
            child.kill()
            child.wait()
        self.receiver.stop()
        self.redis.close()
        for proxy in (self.to_valkey, self.to_postgres, self.to_valkey_for_producers):
            proxy.close()
        self.postgres.stop()
        self.valkey.stop()

    def _listen(self) -> None:
        from modq.signature import new_secret
        from modq_worker.endpoint_address import EndpointRules
        from modq_worker.endpoints import Endpoints

        secret = new_secret()
        self.receiver = Receiver(secret)
        port = self.receiver.start()
        Endpoints(self.engine, EndpointRules(allow_private=True)).add(f"http://127.0.0.1:{port}/hook", secret=secret)

    # Processes

    def _start_children(self) -> None:
        commands = {f"worker-{n}": (*self._worker_command, "--name", f"worker-{n}@test") for n in range(self._workers)}
        if self._with_notifier:
            commands["notifier"] = ("-m", "modq", "notify")
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

    # Posts

    def produce(self, count: int, rate: float, lane: Lane = "live") -> subprocess.Popen[bytes]:
        """Start a producer process; its confirmed posts belong to the account."""
        file = self.folder / f"confirmed-{len(self._sent)}"
        file.touch()
        self._sent.append(file)
        environment = self._environment | {"MODQ_REDIS_URL": self.valkey.url.replace(str(self.valkey.port), str(self.to_valkey_for_producers.port))}
        command = [sys.executable, "-m", "tests.faults.publish", str(count), str(rate), str(file), lane]
        return subprocess.Popen(command, env=environment, cwd=ROOT)

    def send(self, id: str, text: str, lane: Lane = "live") -> None:
        """Publish one post now; it belongs to the account."""
        from modq import Post, Producer

        with Producer(self.valkey.url) as producer:
            producer.submit(Post(id, text), lane=lane)
        file = self.folder / f"confirmed-{len(self._sent)}"
        file.write_text(id + "\n")
        self._sent.append(file)

    def wait_for(self, condition: Callable[[], object], seconds: float) -> None:
        """Wait until the condition holds, or fail."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)

    # The account

    def confirmed(self) -> Counter[str]:
        """The ids that producers saw confirmed."""
        return Counter(id for file in self._sent for id in file.read_text().split())

    def left(self) -> int:
        """Entries on the streams, pending ones counted twice."""
        return sum(self.redis.xlen(stream_of(lane)) + self._pending(lane) for lane in LANES)

    def _pending(self, lane: Lane) -> int:
        try:
            return int(self.redis.xpending(stream_of(lane), GROUP)["pending"])
        except redis.ResponseError:
            return 0

    def account(self, seconds: float = 60) -> Account:
        """Wait until nothing is left to do, then count. Fails if it takes longer than that."""
        self.wait_for(lambda: self.left() == 0, seconds)
        if self._with_notifier:
            self.wait_for(lambda: not self._one("SELECT count(*) FROM deliveries WHERE state = 'pending'"), seconds)
        confirmed = self.confirmed()
        judged = Counter(row[0] for row in self._all("SELECT post_id FROM posts JOIN verdicts ON post_key = key"))
        parked = self._parked()
        outcome = judged.keys() | parked
        toxic = {row[0] for row in self._all("SELECT post_id FROM posts JOIN verdicts ON post_key = key WHERE label = 'toxic'")}
        return Account(
            confirmed=len(confirmed),
            verdicts=sum(judged.values()),
            dead_letters=len(parked),
            lost=len(confirmed.keys() - outcome),
            doubled=sum(count - 1 for count in judged.values()) + len(judged.keys() & parked),
            unexpected=len(outcome - confirmed.keys()),
            toxic=len(toxic),
            told=len(toxic & self.receiver.ids_of_post.keys()),
            ids_per_verdict=max((len(ids) for ids in self.receiver.ids_of_post.values()), default=0),
            worst_seconds=float(self._one("SELECT max(extract(epoch FROM stored_at - published_at)) FROM posts JOIN verdicts ON post_key = key") or 0),
        )

    def _parked(self) -> set[str]:
        ids = set()
        for (raw,) in self._all("SELECT raw FROM dead_letters"):
            try:
                ids.add(decode(bytes(raw)).id)
            except InvalidPost:
                ids.add(f"unreadable {bytes(raw)[:20]!r}")
        return ids

    def _all(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(query)).all())

    def _one(self, query: str) -> Any:
        return self._all(query)[0][0]

"""Run a worker: one process that loads the model and judges what waits.

The same as Celery's own command line with the options that are safe with Redis:
celery -A modq_worker.celery_app worker -P solo --without-gossip --without-mingle --without-heartbeat
"""

from __future__ import annotations

import argparse
import socket

from modq.post import LANES

SAFE = ("worker", "--pool=solo", "--concurrency=1", "--without-gossip", "--without-mingle", "--without-heartbeat")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--lane", choices=LANES, action="append", help="serve only this lane (repeat for more; default: all)")
    parser.add_argument("--name", default=f"modq@{socket.gethostname()}", help="the worker's name in Celery's events (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="start nothing; exit 0 if a worker of this machine is alive, else 1")


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped, or check."""
    if arguments.check:
        return _check()
    from celery.bin.celery import celery

    from modq_worker.celery_app import app, queue_of

    queues = ",".join(queue_of(lane) for lane in arguments.lane or LANES)
    # What app.worker_main() does, but for its throwing the exit status away.
    celery.params[0].default = app
    return celery.main(["--quiet", *SAFE, f"--queues={queues}", f"--hostname={arguments.name}"], standalone_mode=False) or 0


def _check() -> int:
    from redis import RedisError

    from modq_worker.settings import settings
    from modq_worker.stream import ALIVE, connect

    redis = connect(settings().redis())
    try:
        # A worker that said goodbye leaves a key too, with another value.
        alive = [key for key in redis.scan_iter(f"{ALIVE}{socket.gethostname()}:*", count=1000) if redis.get(key) == b"alive"]
    except RedisError as error:
        print(f"the queue does not answer ({type(error).__name__})")
        return 1
    print(f"{len(alive)} worker(s) of this machine alive" if alive else "no worker of this machine is alive")
    return 0 if alive else 1

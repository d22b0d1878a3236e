"""The Celery application: ``celery -A modq_worker.celery_app worker -P solo``.

Celery runs the work and carries content-free doorbells; the posts travel in Redis streams (see stream.py).
"""

from __future__ import annotations

import gc
import sys
from typing import Any, Final, NoReturn

import structlog
from celery import Celery, bootsteps, signals
from celery.worker import state
from kombu import Queue

from modq.errors import ModqError
from modq.post import LANES, Lane
from modq_worker.bell import Bell, answered
from modq_worker.observability import set_up_logging
from modq_worker.settings import settings
from modq_worker.stream import Inbox, connect, new_consumer
from modq_worker.tasks import Drain
from modq_worker.watchdog import Pulse

_LINGER_SECONDS: Final = 0.25
"""A doorbell takes milliseconds through Celery; a drain that waits so long for the next post takes it from Redis itself."""

log = structlog.get_logger(__name__)


def queue_of(lane: Lane) -> str:
    """The Celery queue of the lane's doorbells; ``-Q`` with it makes a worker serve that lane alone."""
    return f"modq.{lane}"


def _configuration() -> dict[str, Any]:
    return {
        "broker_url": settings().redis().replace("unix://", "redis+socket://", 1),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": 60,
            "unacked_restore_interval": 5,
            "priority_steps": [0],
            "global_keyprefix": "modq:celery:",
            # Without these a peer that accepts and never answers hangs the worker for ever.
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 5,
        },
        "task_queues": [Queue(queue_of(lane)) for lane in LANES],
        "task_default_queue": queue_of("live"),
        # Doorbells are disposable: acknowledged before they run, forgotten when they are stale.
        "task_acks_late": False,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


app = Celery("modq", set_as_current=True)
app.add_defaults(_configuration)


@app.task(name="modq.drain", ignore_result=True, expires=60)  # type: ignore[untyped-decorator]
def drain() -> int:
    """Answer a doorbell: judge all that waits in this worker's lanes."""
    if _worker is None:
        raise RuntimeError("modq.drain runs in a worker only")
    answered(_worker.inbox)
    return _worker.drain.run()


class Worker:
    """The parts of one worker process, and the order in which they start and stop."""

    def __init__(self, lanes: tuple[Lane, ...]) -> None:
        # Only here, so that `celery -A modq_worker.celery_app inspect` and the like start without torch.
        from modq_worker.classifier import Classifier
        from modq_worker.database import create_engine
        from modq_worker.dead_letters import DeadLetters
        from modq_worker.policy import Policy
        from modq_worker.score_cache import CachingJudge
        from modq_worker.verdict_store import VerdictStore

        chosen = settings()
        classifier = Classifier.load(
            chosen.adapter,
            backbone=chosen.backbone,
            device=chosen.device,
            dtype=chosen.dtype,
            threads=chosen.threads,
            pass_tokens=chosen.pass_tokens,
            max_windows=chosen.max_windows,
        )
        engine = create_engine(chosen.database())
        redis, consumer = connect(chosen.redis()), new_consumer()
        self.inbox = Inbox(redis, consumer, lanes)
        self.pulse = Pulse(self.inbox, heartbeat_seconds=chosen.heartbeat_seconds, stall_seconds=chosen.stall_seconds)
        self.drain = Drain(
            self.inbox,
            CachingJudge(classifier, redis, adapter=f"{classifier.adapter.id}/{chosen.max_windows}", size=chosen.score_cache)
            if chosen.score_cache
            else classifier,
            VerdictStore(engine, chosen.keep_text),
            DeadLetters(engine),
            Policy(chosen.threshold or classifier.adapter.threshold),
            self.pulse,
            adapter=classifier.adapter.id,
            batch_posts=chosen.batch_posts,
            max_attempts=chosen.max_attempts,
            linger_seconds=_LINGER_SECONDS,
        )
        # An inbox of its own: the bell and the drain look for dead consumers at their own times.
        self.bell = Bell(Inbox(redis, consumer, lanes), idle=self.pulse.idle, ring=_ring)

        # The model's objects live as long as the process: the collector need not look at them again and again.
        gc.freeze()

    def start(self) -> None:
        """Judge what waits already, which needs no doorbell, then listen for more."""
        self.pulse.start()
        self.drain.run()
        self.bell.start()

    def stop(self) -> None:
        """Stop listening and hand back what is not finished. Safe to repeat."""
        self.bell.stop()
        self.drain.stop()
        self.pulse.stop()


_worker: Worker | None = None


def _ring(lane: Lane) -> None:
    drain.apply_async(queue=queue_of(lane))


class _Moderation(bootsteps.StartStopStep):  # type: ignore[misc]
    """Ties the worker's parts to the life of Celery's worker."""

    requires: Final = {"celery.worker.components:Pool"}

    def start(self, celery_worker: Any) -> None:
        """Load the model and begin; an error that a user can mend is told in one sentence."""
        global _worker
        if not celery_worker.pool_cls.__module__.endswith("solo"):
            _give_up("a modq worker is one process with one model: start it with -P solo, and more of them for more cores")
        served = celery_worker.app.amqp.queues.consume_from
        lanes = tuple(lane for lane in LANES if queue_of(lane) in served)
        try:
            _worker = Worker(lanes)
        except ModqError as error:
            _give_up(str(error))
        if state.should_stop is not None:
            # SIGTERM came while the model was loading, before there was a drain to tell.
            _worker.drain.stop()
        log.info("ready", lanes=lanes, consumer=_worker.inbox.consumer)
        _worker.start()

    def stop(self, celery_worker: Any) -> None:
        """Hand back what is not finished."""
        if _worker is not None:
            _worker.stop()

    terminate = stop


app.steps["worker"].add(_Moderation)


def _give_up(sentence: str) -> NoReturn:
    log.critical("cannot_start", why=sentence)
    sys.exit(1)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop_the_drain(**_: object) -> None:
    """SIGTERM arrives while a drain runs: let it end after the present forward pass."""
    if _worker is not None:
        _worker.drain.stop()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log_our_way(**_: object) -> None:
    set_up_logging(settings().log_level, settings().log_format)

"""The main job with nothing simulated: a producer, real workers with the shipped adapter, the store."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from redis import Redis
from sqlalchemy import Engine, func, select

from modq import Post, Producer
from modq.post import LANES, stream_of
from modq_worker.classifier import Classifier
from modq_worker.stream import GROUP
from modq_worker.tables import DeadLetterRow, PostRow, VerdictRow

NICE = "Thanks a lot, that solved it for me"
NASTY = "You are a worthless idiot and everybody here hates you"


def counted(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(VerdictRow)) or 0


def left_on_queue(redis: Redis) -> int:
    return sum(redis.xlen(stream_of(lane)) + redis.xpending(stream_of(lane), GROUP)["pending"] for lane in LANES)


def test_posts_are_judged_by_the_shipped_adapter(start_worker, redis: Redis, redis_url: str, engine: Engine, wait_for) -> None:
    start_worker()
    with Producer(redis_url) as producer:
        producer.submit(Post("nice", NICE))
        producer.submit(Post("nasty", NASTY, source="game", author="bob"))
        producer.submit_many((Post(f"old-{n}", f"{NICE} {n}") for n in range(300)), lane="backlog")
    wait_for(lambda: counted(engine) == 302)
    with engine.connect() as connection:
        found = dict(
            connection.execute(
                select(PostRow.post_id, VerdictRow.label).join(VerdictRow, VerdictRow.post_key == PostRow.key).where(PostRow.post_id.in_(["nice", "nasty"]))
            ).all()
        )
    assert found == {"nice": "safe", "nasty": "toxic"}
    wait_for(lambda: left_on_queue(redis) == 0)


def test_a_toxic_verdict_says_how_grave_it_is_whether_judged_or_remembered(start_worker, redis: Redis, redis_url: str, engine: Engine, wait_for) -> None:
    [score] = Classifier.load().score([NASTY])
    assert score.severity is not None
    start_worker()
    with Producer(redis_url) as producer:
        producer.submit(Post("nice", NICE))
        for number, id in enumerate(("nasty", "again"), 2):
            producer.submit(Post(id, NASTY))
            wait_for(lambda number=number: counted(engine) == number)
    with engine.connect() as connection:
        found = connection.execute(select(PostRow.post_id, VerdictRow.severity).join(VerdictRow, VerdictRow.post_key == PostRow.key)).all()
    assert dict(found) == {"nice": None, "nasty": score.severity, "again": score.severity}


def test_celerys_own_command_line_starts_a_worker_too(start, redis: Redis, redis_url: str, engine: Engine, wait_for) -> None:
    start("worker", "-P", "solo", "-l", "INFO", command=(sys.executable, "-m", "celery", "-A", "modq_worker.celery_app"))
    with Producer(redis_url) as producer:
        producer.submit(Post("1", NICE))
    wait_for(lambda: counted(engine) == 1, 60)


def test_a_pool_that_would_load_the_model_many_times_is_refused_in_a_sentence(start, wait_for) -> None:
    process = start("worker", "-P", "prefork", "-c", "2", command=(sys.executable, "-m", "celery", "-A", "modq_worker.celery_app"))
    wait_for(lambda: process.popen.poll() is not None)
    assert process.popen.returncode != 0
    assert "-P solo" in process.log.read_text()


def test_a_worker_of_one_lane_leaves_the_other_alone(start_worker, redis: Redis, redis_url: str, engine: Engine, wait_for) -> None:
    start_worker("--lane", "backlog")
    with Producer(redis_url) as producer:
        producer.submit(Post("live", NICE), lane="live")
        producer.submit(Post("backlog", NICE), lane="backlog")
    wait_for(lambda: counted(engine) == 1)
    time.sleep(0.5)
    assert redis.xlen(stream_of("live")) == 1


def test_an_idle_live_post_is_stored_in_well_under_100_ms(start_worker, redis_url: str, engine: Engine, wait_for) -> None:
    start_worker()
    with Producer(redis_url) as producer:
        for n in range(40):
            producer.submit(Post(str(n), f"{NICE} {n}"))
            wait_for(lambda n=n: counted(engine) == n + 1)
    with engine.connect() as connection:
        waits = connection.scalars(
            select(func.extract("epoch", VerdictRow.stored_at - PostRow.published_at)).join(PostRow, PostRow.key == VerdictRow.post_key)
        ).all()
    assert statistics.median(map(float, waits)) < 0.1


def test_workers_that_are_killed_lose_nothing_and_double_nothing(
    start_worker, redis: Redis, redis_url: str, engine: Engine, wait_for: Callable[..., None]
) -> None:
    with Producer(redis_url) as producer:
        producer.submit_many((Post(f"post-{n}", f"{NICE} number {n}") for n in range(3000)), lane="backlog")
    first, _ = start_worker(), start_worker()
    wait_for(lambda: counted(engine) > 200)
    first.kill()
    start_worker()
    wait_for(lambda: counted(engine) >= 3000, 90)
    wait_for(lambda: left_on_queue(redis) == 0)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count(func.distinct(PostRow.post_id)))) == 3000
        assert connection.scalar(select(func.count()).select_from(DeadLetterRow)) == 0
    assert counted(engine) == 3000


def test_a_worker_told_to_stop_stops_within_five_seconds_and_another_goes_on(
    start_worker, redis: Redis, redis_url: str, engine: Engine, wait_for
) -> None:
    with Producer(redis_url) as producer:
        producer.submit_many((Post(f"post-{n}", f"{NICE} number {n}") for n in range(2000)), lane="backlog")
    worker = start_worker()
    wait_for(lambda: counted(engine) > 0)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 5
    start_worker()
    wait_for(lambda: counted(engine) == 2000, 60)
    assert left_on_queue(redis) == 0

"""The fixtures that every other test stands on."""

import redis as redis_py
import sqlalchemy
from sqlalchemy import Engine


def test_the_store_is_built_and_empty(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM verdicts")) == 0


def test_each_test_has_a_database_of_its_own(engine: Engine, empty_database_url: str) -> None:
    assert engine.url.database != sqlalchemy.make_url(empty_database_url).database


def test_the_queue_is_empty_and_answers_in_bytes(redis: redis_py.Redis) -> None:
    assert redis.dbsize() == 0
    redis.set("a", "b")
    assert redis.get("a") == b"b"

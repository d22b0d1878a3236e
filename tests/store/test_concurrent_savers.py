"""Workers that save the same posts at once neither deadlock nor store anything twice."""

from __future__ import annotations

import random
import threading

from tests.store.conftest import Query
from tests.store.making import verdict

from modq.signature import new_secret
from modq_worker.database import create_engine
from modq_worker.endpoints import Endpoints
from modq_worker.verdict_store import VerdictStore

SAVERS, BATCHES, POSTS = 4, 6, 400


def test_overlapping_batches_neither_deadlock_nor_double(database_url: str, endpoints: Endpoints, query: Query) -> None:
    endpoints.add("http://127.0.0.1/a", new_secret())
    new: list[int] = []
    failures: list[BaseException] = []
    start = threading.Barrier(SAVERS)

    def save(seed: int) -> None:
        order = random.Random(seed)
        engine = create_engine(database_url)
        store = VerdictStore(engine)
        try:
            for batch in range(BATCHES):
                posts = [verdict(f"{batch}-{number}") for number in range(POSTS)]
                order.shuffle(posts)
                start.wait(30)
                new.append(store.save(posts[: order.randint(POSTS // 2, POSTS)]))
        except BaseException as error:
            failures.append(error)
            start.abort()
        finally:
            engine.dispose()

    savers = [threading.Thread(target=save, args=[seed]) for seed in range(SAVERS)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(60)
    assert failures == []
    [(verdicts, posts, deliveries)] = query("SELECT (SELECT count(*) FROM verdicts), (SELECT count(*) FROM posts), (SELECT count(*) FROM deliveries)")
    assert verdicts == posts == deliveries == sum(new)

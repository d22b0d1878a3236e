"""Every entry of the catalogue, through a real worker, comes to the outcome that is written beside it.

``hostile/entries.jsonl`` holds one case a line: what the ``post`` field holds (``post``, ``post_base64`` or
``repeat``, with ``wrap`` as the text of a post), or a whole ``entry``; and its ``outcome``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import Engine, func, select

from modq.post import stream_of
from modq_worker.tables import DeadLetterRow, PostRow, VerdictRow

CASES = [json.loads(line) for line in (Path(__file__).parent / "hostile/entries.jsonl").read_text().splitlines()]
SECRET = "a-text-that-no-log-may-hold"


def fields(case: dict[str, Any]) -> dict[str, str | bytes]:
    if "entry" in case:
        return dict(case["entry"])
    if "post_base64" in case:
        return {"post": base64.b64decode(case["post_base64"])}
    if "post" in case:
        return {"post": case["post"]}
    piece, count, end = case["repeat"]
    text = case.get("prefix", "") + piece * count + end
    return {"post": json.dumps({"id": case["name"], "text": text}) if case.get("wrap") else text}


def test_the_catalogue_is_large() -> None:
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_each_entry_has_its_outcome_and_none_stops_the_worker(
    start_worker: Callable[..., Any], redis: Redis, engine: Engine, wait_for: Callable[..., None]
) -> None:
    worker = start_worker()
    published = {redis.xadd(stream_of("live"), fields(case)).decode(): case for case in CASES}
    last = redis.xadd(stream_of("live"), {"post": json.dumps({"id": "last", "text": f"good bye {SECRET}"})}).decode()
    redis.xadd(stream_of("live"), {"post": json.dumps({"id": "parked", "text": [SECRET]})})

    def outcomes() -> int:
        with engine.connect() as connection:
            return sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in (VerdictRow, DeadLetterRow))

    wait_for(lambda: outcomes() == len(CASES) + 2, 120)
    with engine.connect() as connection:
        parked = {row.entry_id: row.reason for row in connection.execute(select(DeadLetterRow.entry_id, DeadLetterRow.reason))}
        verdicts = connection.scalar(select(func.count()).select_from(VerdictRow).join(PostRow))
    found = {case["name"]: f"dead_letter:{parked[id]}" if id in parked else "verdict" for id, case in published.items()}
    assert found == {case["name"]: case["outcome"] for case in CASES}
    assert verdicts == sum(case["outcome"] == "verdict" for case in CASES) + 1
    assert last not in parked
    assert worker.popen.poll() is None
    assert SECRET not in worker.log.read_text(), "no log holds a post's text"

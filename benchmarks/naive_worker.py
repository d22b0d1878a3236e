"""The yardstick: what one writes first. One Celery task per post, with its text in the message, and a commit per row.

Prefork, late acknowledgement, the ORM, an outbox row for a toxic post. It has none of modq's guarantees. Without
``NAIVE_MODEL=card`` its classifier only looks at the first character, as that of quiet_worker.py does; with it, the
recipe of the adapter's card judges one text at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from celery import Celery
from quiet_worker import TOXIC_MARK
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import Session

from modq.post import Post
from modq_worker.tables import DeliveryRow, EndpointRow, PostRow, VerdictRow

app = Celery("naive", broker=os.environ["MODQ_REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": "naive:"},
    task_default_queue="posts",
)


@app.task(name="naive.judge")  # type: ignore[untyped-decorator]
def judge(fields: dict[str, Any]) -> None:
    """Judge one post and keep its verdict."""
    post = Post(**fields)
    score = _judge()(post.text)
    with Session(_engine()) as session:
        session.add(_post_row(post))
        session.flush()
        session.add(_verdict_row(post, score))
        if score >= 0.5:
            session.flush()
            for endpoint in session.scalars(select(EndpointRow.id).where(EndpointRow.disabled_at.is_(None))).all():
                session.add(_delivery_row(post, endpoint))
        session.commit()


def _post_row(post: Post) -> PostRow:
    return PostRow(
        key=post.key,
        source=post.source,
        post_id=post.id,
        content_hash=post.content_hash,
        text=post.text,
        author=post.author,
        lane="backlog",
        published_at=datetime.now(UTC),
    )


def _verdict_row(post: Post, score: float) -> VerdictRow:
    label = "toxic" if score >= 0.5 else "safe"
    return VerdictRow(post_key=post.key, revision=0, label=label, score=score, truncated=False, adapter="naive@0", policy="threshold=0.5")


def _delivery_row(post: Post, endpoint: int) -> DeliveryRow:
    return DeliveryRow(post_key=post.key, revision=0, endpoint_id=endpoint, webhook_id=f"msg_{post.key.hex}", event="post.flagged")


@cache
def _engine() -> Engine:
    """Made in the child, when the first post comes: connections do not survive a fork."""
    return create_engine(os.environ["MODQ_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))


@cache
def _judge() -> Callable[[str], float]:
    if os.environ.get("NAIVE_MODEL") == "card":
        from recipe import Recipe

        from modq_worker.adapter import load_adapter, shipped_adapter
        from modq_worker.backbone import find_backbone

        adapter = load_adapter(shipped_adapter())
        recipe = Recipe(find_backbone(adapter.base), adapter)
        return lambda text: recipe.scores([text])[0]
    return lambda text: 0.9 if text[0] == TOXIC_MARK else 0.1

"""Submit the rows of one file: in batches, patiently, and so that an interrupted run can go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from modq.bookmark import Reached
from modq.errors import InvalidPost, QueueError
from modq.post import Lane, Post
from modq.producer import Producer
from modq.rows import Form, Row, post_of

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
RETRY_SECONDS: Final = 0.5


class Rejected:
    """The rows that are no posts, with the reason of each, as JSON lines for the one who has the file."""

    def __init__(self, path: Path, kept_bytes: int) -> None:
        self.path = path
        self._bytes = kept_bytes
        if path.exists():
            # Rows told after the last bookmark come again.
            with path.open("r+b") as file:
                file.truncate(min(kept_bytes, path.stat().st_size))
        if not kept_bytes:
            path.unlink(missing_ok=True)

    def add(self, row: Row, problem: InvalidPost) -> None:
        """Keep one row, as it was in the file."""
        content = row.content.decode("utf-8", "replace") if isinstance(row.content, bytes) else row.content
        told = {"line": row.line, "reason": problem.reason, "detail": problem.detail, "row": None if content is problem else content}
        with self.path.open("ab") as file:
            self._bytes = file.tell() + file.write(json.dumps(told).encode() + b"\n")

    @property
    def bytes(self) -> int:
        """The length of the file."""
        return self._bytes


class Bulk:
    """One file on its way to one lane; ``patience`` is how many seconds a full or absent queue is waited for."""

    def __init__(
        self,
        producer: Producer,
        form: Form,
        lane: Lane,
        *,
        patience: float,
        reject: Callable[[Row, InvalidPost], None],
        waiting: Callable[[str], None],
    ) -> None:
        self._producer = producer
        self._form = form
        self._lane = lane
        self._patience = patience
        self._reject = reject
        self._waiting = waiting

    def submit(self, rows: Iterator[Row], begin: Reached, done: Callable[[Reached], None]) -> Reached:
        """Submit what comes after ``begin``; ``done`` is told after each batch that is confirmed.

        Raises:
            QueueError: the queue refused, or stayed away too long; what ``done`` was told stands.
        """
        reached = begin
        for batch in _batches(islice(rows, begin.rows, None)):
            posts = list(self._posts(batch))
            self._confirm(posts)
            reached = replace(reached, rows=reached.rows + len(batch), rejected=reached.rejected + len(batch) - len(posts))
            done(reached)
        return reached

    def _posts(self, batch: list[Row]) -> Iterator[Post]:
        for row in batch:
            try:
                yield post_of(row, self._form)
            except InvalidPost as problem:
                self._reject(row, problem)

    def _confirm(self, posts: list[Post]) -> None:
        give_up = time.monotonic() + self._patience
        while posts:
            try:
                self._producer.submit_many(posts, self._lane)
                return
            except QueueError as error:
                if error.confirmed:
                    posts, give_up = posts[error.confirmed :], time.monotonic() + self._patience
                if not error.retryable or time.monotonic() > give_up:
                    raise
                self._waiting(str(error))
                time.sleep(RETRY_SECONDS)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += _size(row)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(row: Row) -> int:
    if isinstance(row.content, bytes):
        return len(row.content)
    return sum(map(len, row.content.values())) if isinstance(row.content, dict) else 0

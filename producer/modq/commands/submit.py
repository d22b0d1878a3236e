"""Publish posts: one text, or the rows of files or of standard input.

modq submit "some text" --id 42 --author ada
modq submit --file posts.jsonl.gz --lane backlog
modq submit --file comments.csv --id-column comment_id --text-column body --extra ignore
some-program | modq submit --format jsonl
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from modq.bookmark import Bookmark, Reached
from modq.bulk import Bulk, Rejected
from modq.errors import InvalidPost, QueueError
from modq.post import LANES, post_from
from modq.producer import Producer
from modq.progress import Progress
from modq.queue_url import place, queue_url
from modq.rows import EXTRAS, FORMATS, Form, Row, WrongInput, format_of, opened, read_rows, stem

STANDARD_INPUT: Final = Path("-")
_FIELDS_OF_ONE: Final = ("id", "author", "conversation", "parent_text", "language", "created_at")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of one text, of files, and of both."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = __doc__
    parser.epilog = "The queue is MODQ_REDIS_URL, else what MODQ_REDIS_URL_FILE holds, else that of the `modq up` of this folder, else redis://localhost:6379/0."
    parser.set_defaults(wrong_usage=parser.error)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="one text to publish")
    parser.add_argument("--lane", choices=LANES, default="live", help="live is judged first; backlog is for bulk (default: %(default)s)")
    parser.add_argument("--source", help="tenant or community, for every post; overrides what a row says")

    one = parser.add_argument_group("one text")
    one.add_argument("--id", help="default: made from the text, so that the same text has the same id")
    one.add_argument("--author", help="who wrote it")
    one.add_argument("--conversation", help="the thread or channel that it belongs to")
    one.add_argument("--parent-text", help="what it answers")
    one.add_argument("--language", help="such as en")
    one.add_argument("--created-at", help="when it was written, such as 2026-01-31T12:00:00Z")

    rows = parser.add_argument_group("files and standard input")
    rows.add_argument("--file", "-f", nargs="+", type=Path, default=[], metavar="FILE", help="files to read, also .gz; - is standard input")
    rows.add_argument("--format", choices=FORMATS, help="default: by the name, .jsonl .ndjson .csv .tsv .txt (a post per line)")
    rows.add_argument("--id-column", "--id-field", metavar="NAME", help="where a row's id is (default: id; a row without one gets NAME:LINE)")
    rows.add_argument("--text-column", "--text-field", metavar="NAME", help="where a row's text is (default: text)")
    rows.add_argument(
        "--extra", choices=EXTRAS, default="error", help="fields that a post does not have: reject the row, keep them as metadata, or drop them"
    )
    rows.add_argument("--id-prefix", default="", metavar="PREFIX", help="put before the ids that rows without one get")
    rows.add_argument("--state", type=Path, metavar="FOLDER", help="where the bookmark and rejected rows go (default: beside the file)")
    rows.add_argument("--restart", action="store_true", help="begin anew although an earlier run left a bookmark")
    rows.add_argument(
        "--patience", type=float, default=60.0, metavar="SECONDS", help="how long to wait for a full or absent queue (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 when every post is on the queue, 1 when rows were rejected, 130 when interrupted."""
    if arguments.text is not None:
        return _submit_text(arguments)
    files = _files(arguments)
    with Producer() as producer:
        producer.ping()
        submissions = [_Submission(path, arguments, producer) for path in files]
        rejected = sum([submission.run() for submission in submissions])
    # Only now: an interrupted run of many files must not begin with the first again.
    for submission in submissions:
        submission.forget()
    return 1 if rejected else 0


def _submit_text(arguments: argparse.Namespace) -> int:
    if arguments.file:
        arguments.wrong_usage("give one text or --file, not both")
    if os.path.isfile(arguments.text):  # noqa: PTH113 - Path.is_file raises on a text too long for a name
        arguments.wrong_usage(f"{arguments.text} is a file: to publish what is in it, say --file {arguments.text}")
    fields = {name: getattr(arguments, name) for name in _FIELDS_OF_ONE} | {"text": arguments.text, "source": arguments.source}
    fields["id"] = arguments.id or f"text:{hashlib.sha256(os.fsencode(arguments.text)).hexdigest()[:16]}"
    post = post_from(fields)
    with Producer() as producer:
        entry_id = producer.submit(post, arguments.lane)
    print(f"post {post.id} of {post.source} is in the {arguments.lane} lane, entry {entry_id}")
    return 0


def _files(arguments: argparse.Namespace) -> Sequence[Path]:
    if misplaced := [name for name in _FIELDS_OF_ONE if getattr(arguments, name)]:
        arguments.wrong_usage(f"--{misplaced[0].replace('_', '-')} is for one text; a file's rows have their own")
    files: list[Path] = arguments.file or ([] if sys.stdin.isatty() else [STANDARD_INPUT])
    if not files:
        arguments.wrong_usage("give a text, or --file FILE")
    for path in files:
        if arguments.format is None and format_of(path) is None:
            arguments.wrong_usage(f"{'standard input' if path == STANDARD_INPUT else path}: say its --format, one of {', '.join(FORMATS)}")
    if len({stem(path) for path in files}) < len(files):
        arguments.wrong_usage(
            "two of the files have the same name, so rows without an id would get the same ids: submit them one by one, with --id-prefix"
        )
    return files


class _Submission:
    """One file, its bookmark and what is shown of it."""

    def __init__(self, path: Path, arguments: argparse.Namespace, producer: Producer) -> None:
        self._path = path
        self._piped = path == STANDARD_INPUT
        self._arguments = arguments
        self._producer = producer
        self._name = "standard input" if self._piped else str(path)
        self._form = _form(path, arguments)
        self._bookmark = None if self._piped else Bookmark(self._beside(".modq-submit.json"), _job(path, self._form, arguments.lane))
        self._rejected: Rejected | None = None
        self._first_problem = ""

    def run(self) -> int:
        """Submit it; the number of rejected rows."""
        begin = Reached() if self._bookmark is None or self._arguments.restart else self._bookmark.read()
        if begin.rows:
            print(f"{self._name}: going on after row {begin.rows:,}, where an earlier run stopped", file=sys.stderr)
        self._rejected = None if self._piped else Rejected(self._beside(".rejected.jsonl"), begin.rejected_bytes)
        began = time.monotonic()
        try:
            with sys.stdin.buffer if self._piped else self._path.open("rb") as file:
                reached = self._submit(file, begin)
        except (OSError, EOFError, zlib.error) as error:
            raise WrongInput(f"{self._name} cannot be read to its end: {getattr(error, 'strerror', None) or error}") from None
        self._summarise(begin, reached, time.monotonic() - began)
        return reached.rejected

    def forget(self) -> None:
        """Remove the bookmark."""
        if self._bookmark is not None:
            self._bookmark.remove()

    def _submit(self, file: BinaryIO, begin: Reached) -> Reached:
        reached = begin
        size = None if self._piped else os.fstat(file.fileno()).st_size
        progress = Progress(self._path.name if not self._piped else self._name, size)

        def done(now: Reached) -> None:
            nonlocal reached
            reached = now if self._rejected is None else Reached(now.rows, now.rejected, self._rejected.bytes)
            if self._bookmark is not None:
                self._bookmark.write(reached)
            progress.update(now.confirmed, 0 if self._piped else file.tell())

        bulk = Bulk(
            self._producer,
            self._form,
            self._arguments.lane,
            patience=self._arguments.patience,
            reject=self._reject,
            waiting=lambda reason: progress.update(reached.confirmed, 0 if self._piped else file.tell(), reason),
        )
        try:
            bulk.submit(read_rows(opened(file, self._path), self._form), begin, done)
        except (QueueError, KeyboardInterrupt):
            progress.close()
            again = "" if self._piped else "; the same command goes on from there"
            print(f"{self._name}: stopped with {reached.confirmed:,} posts on the queue{again}", file=sys.stderr)
            raise
        finally:
            progress.close()
        return reached

    def _reject(self, row: Row, problem: InvalidPost) -> None:
        self._first_problem = self._first_problem or f"line {row.line:,}: {problem.detail}"
        if self._rejected is None:
            print(json.dumps({"line": row.line, "reason": problem.reason, "detail": problem.detail}), file=sys.stderr)
        else:
            self._rejected.add(row, problem)

    def _summarise(self, begin: Reached, reached: Reached, seconds: float) -> None:
        posts = reached.confirmed - begin.confirmed
        rate = f" in {seconds:.1f} s ({posts / seconds:,.0f}/s)" if seconds > 0 else ""
        print(f"{self._name}: {posts:,} posts submitted to the {self._arguments.lane} lane{rate}")
        if reached.rejected:
            where = "standard error" if self._rejected is None else self._rejected.path
            print(f"{self._name}: {reached.rejected:,} rows rejected, with the reason of each in {where}")
            print(f"{self._name}: {self._first_problem or 'all of them by the earlier run'}")

    def _beside(self, suffix: str) -> Path:
        folder = self._arguments.state or self._path.parent
        if self._arguments.state is None and not os.access(folder, os.W_OK):
            folder = Path()
        folder.mkdir(parents=True, exist_ok=True)
        return Path(folder, self._path.name + suffix)


def _form(path: Path, arguments: argparse.Namespace) -> Form:
    return Form(
        format=arguments.format or format_of(path) or "text",
        prefix=arguments.id_prefix + ("stdin" if path == STANDARD_INPUT else stem(path)),
        extra=arguments.extra,
        source=arguments.source,
        id_column=arguments.id_column,
        text_column=arguments.text_column,
    )


def _job(path: Path, form: Form, lane: str) -> dict[str, str | int | None]:
    try:
        status = path.stat()
    except OSError as error:
        raise WrongInput(f"{path} cannot be read: {error.strerror}") from None
    told = {name: getattr(form, name) for name in form.__slots__}
    return told | {"lane": lane, "queue": place(queue_url()), "size": status.st_size, "modified": status.st_mtime_ns}

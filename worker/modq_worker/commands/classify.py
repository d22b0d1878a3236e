"""Score a text, or the rows of a file, without any server.

modq classify "some text"
modq classify --file posts.jsonl.gz --output scores.jsonl
some-program | modq classify --format text
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from modq.errors import InvalidPost
from modq.post import Post, post_from
from modq.progress import Progress
from modq.rows import FORMATS, Form, Row, WrongInput, format_of, opened, post_of, read_rows, stem
from modq_worker.policy import Policy
from modq_worker.settings import settings
from modq_worker.verdict import Score, label_of

if TYPE_CHECKING:
    from modq_worker.classifier import Classifier

STANDARD_INPUT: Final = Path("-")
_AT_ONCE: Final = 512
"""Rows scored together: enough to find partners of like length, few enough to see progress."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of one text, of a file, and of both."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = __doc__
    parser.epilog = (
        "A file gives one JSON object a row, in order: line, id, score, label, truncated, adapter, and rules and\n"
        "severity where it is known which rules a toxic one breaks; or line and error for a row that is no post. The rows are read as `modq submit` reads them."
    )
    parser.set_defaults(wrong_usage=parser.error)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="one text to score")
    parser.add_argument("--file", "-f", type=Path, metavar="FILE", help="rows to score, also .gz; - is standard input")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="where the scores go, also .gz (default: standard output)")
    parser.add_argument("--format", choices=FORMATS, help="default: by the name, .jsonl .ndjson .csv .tsv .txt (a post per line)")
    parser.add_argument("--id-column", "--id-field", metavar="NAME", help="where a row's id is (default: id)")
    parser.add_argument("--text-column", "--text-field", metavar="NAME", help="where a row's text is (default: text)")
    parser.add_argument("--json", action="store_true", help="one text's score as a JSON object, too")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="pinned adapter (default: MODQ_ADAPTER, else the shipped one)")
    parser.add_argument("--backbone", type=Path, metavar="FOLDER", help="folder of the base model (default: MODQ_BACKBONE, else found)")
    parser.add_argument("--threshold", type=_threshold, metavar="SCORE", help="score from which a text is toxic (default: the adapter's)")


def run(arguments: argparse.Namespace) -> int:
    """0 when everything has a score, 1 when some row was no post."""
    _check(arguments)
    # A post with a problem is told before the seconds that the model takes to load.
    post = None if arguments.text is None else post_from({"id": "text", "text": arguments.text})
    judge = _Judge(_load(arguments), arguments.threshold)
    if post is not None:
        return _judge_text(judge, post, as_json=arguments.json)
    return _judge_file(judge, arguments)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.text is not None and arguments.file is not None:
        arguments.wrong_usage("give one text or --file, not both")
    if arguments.text is not None:
        return
    if arguments.file is None and sys.stdin.isatty():
        arguments.wrong_usage("give a text, or --file FILE")
    arguments.file = arguments.file or STANDARD_INPUT
    if arguments.format is None and format_of(arguments.file) is None:
        name = "standard input" if arguments.file == STANDARD_INPUT else arguments.file
        arguments.wrong_usage(f"{name}: say its --format, one of {', '.join(FORMATS)}")
    if arguments.file != STANDARD_INPUT and not arguments.file.is_file():
        raise WrongInput(f"{arguments.file} is not a file")


def _load(arguments: argparse.Namespace) -> Classifier:
    from modq_worker.classifier import Classifier

    chosen = settings()
    return Classifier.load(
        arguments.adapter or chosen.adapter,
        backbone=arguments.backbone or chosen.backbone,
        device=chosen.device,
        dtype=chosen.dtype,
        threads=chosen.threads,
        pass_tokens=chosen.pass_tokens,
        max_windows=chosen.max_windows,
    )


class _Judge:
    """A classifier and the threshold in force."""

    def __init__(self, classifier: Classifier, threshold: float | None) -> None:
        self.classifier = classifier
        self.policy = Policy(threshold or settings().threshold or classifier.adapter.threshold)

    def scores(self, posts: Sequence[Post]) -> list[dict[str, Any]]:
        return [self._told(score) for score in self.classifier.score([post.text for post in posts])]

    def _told(self, score: Score) -> dict[str, Any]:
        label = label_of(score, self.policy)
        told = {"score": score.toxic, "label": label, "truncated": score.truncated, "adapter": self.classifier.adapter.id}
        return told | ({"rules": dict(score.rules), "severity": score.severity} if label == "toxic" and score.rules else {})


def _judge_text(judge: _Judge, post: Post, *, as_json: bool) -> int:
    [told] = judge.scores([post])
    if as_json:
        print(json.dumps(told))
    else:
        note = "  (too long: judged in samples)" if told["truncated"] else ""
        print(f"{told['label']}  {told['score']:.4f}{note}")
        for rule, share in sorted(told.get("rules", {}).items(), key=lambda item: -item[1]):
            print(f"  breaks {rule}  {share:.4f}")
        if severity := told.get("severity"):
            print(f"severity {severity}")
        print(f"threshold {judge.policy.threshold:.4g}, adapter {told['adapter']}", file=sys.stderr)
    return 0


def _judge_file(judge: _Judge, arguments: argparse.Namespace) -> int:
    form = Form(
        arguments.format or format_of(arguments.file) or "jsonl",
        prefix=stem(arguments.file),
        extra="ignore",
        id_column=arguments.id_column,
        text_column=arguments.text_column,
    )
    piped = arguments.file == STANDARD_INPUT
    done = wrong = toxic = 0
    try:
        with sys.stdin.buffer if piped else arguments.file.open("rb") as file, _written(arguments.output) as output:
            progress = Progress("scoring", None if piped else os.fstat(file.fileno()).st_size)
            for batch in _batches(read_rows(opened(file, arguments.file), form)):
                lines = _judge_rows(judge, batch, form)
                output.writelines(json.dumps(line) + "\n" for line in lines)
                done, wrong = done + len(lines), wrong + sum("error" in line for line in lines)
                toxic += sum(line.get("label") == "toxic" for line in lines)
                progress.update(done, 0 if piped else file.tell())
            progress.close()
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise WrongInput(f"{error.filename if isinstance(error, OSError) and error.filename else arguments.file}: {error}") from None
    print(f"{done - wrong:,} scored, {toxic:,} of them toxic" + (f"; {wrong:,} rows are no posts" if wrong else ""), file=sys.stderr)
    return 1 if wrong else 0


def _judge_rows(judge: _Judge, rows: Sequence[Row], form: Form) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    posts: list[Post] = []
    for row in rows:
        try:
            posts.append(post_of(row, form))
            lines.append({"line": row.line, "id": posts[-1].id})
        except InvalidPost as problem:
            lines.append({"line": row.line, "error": problem.reason, "detail": problem.detail})
    scores = iter(judge.scores(posts))
    return [line if "error" in line else line | next(scores) for line in lines]


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _AT_ONCE)):
        yield batch


@contextmanager
def _written(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that has its name only once it is whole."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f"{output.name}.part")
    with gzip.open(part, "wt", encoding="utf-8") if output.suffix == ".gz" else part.open("w", encoding="utf-8") as file:
        yield cast(TextIO, file)
    part.replace(output)


def _threshold(word: str) -> float:
    try:
        return Policy(float(word)).threshold
    except ValueError:
        raise argparse.ArgumentTypeError("must be a number between 0 and 1") from None

"""modq submit publishes one text, or the rows of files and of standard input."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from modq import Post
from modq.cli import main

Queued = Callable[..., list[Post]]
SECRET = "the words of the user"


@pytest.fixture(autouse=True)
def folder(redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODQ_REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def submit(*words: object) -> int:
    return main(["submit", *map(str, words)])


def rejected(path: Path) -> list[tuple[int, str]]:
    return [(row["line"], row["reason"]) for row in map(json.loads, path.read_text().splitlines())]


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# One text


def test_one_text_is_published_with_what_is_said_of_it(queued: Queued, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--id 42 --source forum --author ada --conversation c --parent-text p --language en --created-at 2026-01-31T12:00:00Z --lane backlog"
    assert submit("hello there", *words.split()) == 0

    assert queued("backlog") == [
        Post("42", "hello there", "forum", "ada", "c", "p", datetime(2026, 1, 31, 12, tzinfo=UTC), "en"),
    ]
    assert "post 42 of forum is in the backlog lane" in capsys.readouterr().out


def test_the_same_text_has_the_same_id(queued: Queued) -> None:
    submit("hello")
    submit("hello")
    submit("hello!")

    first, again, other = (post.id for post in queued())
    assert first == again != other


def test_a_text_that_cannot_be_judged_is_told_in_a_sentence(queued: Queued, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit("  ") == 1
    assert capsys.readouterr().err == "modq submit: text holds nothing that can be seen\n"
    assert queued() == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["posts.jsonl"], "--file posts.jsonl"),
        (["hello", "--file", "posts.jsonl"], "not both"),
        (["--file", "posts.jsonl", "--author", "ada"], "--author is for one text"),
        (["--file", "posts.parquet"], "--format"),
        (["--file", "posts.jsonl", "other/posts.jsonl"], "--id-prefix"),
        (["--file", "posts.jsonl", "--lane", "fast"], "--lane"),
    ],
)
def test_wrong_usage_is_told(folder: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "posts.jsonl").write_text("")
    with pytest.raises(SystemExit) as ended:
        submit(*words)

    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_missing_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert submit("--file", "none.jsonl") == 1
    assert "none.jsonl cannot be read: No such file" in capsys.readouterr().err


# JSONL


def test_rows_of_jsonl_are_posts_and_get_their_line_as_id_where_they_have_none(folder: Path, queued: Queued) -> None:
    rows = [
        {"id": "a", "text": "one", "metadata": {"k": 1}},
        {"text": "two", "source": "s"},
        {"id": 7, "text": "three", "created_at": "2026-01-31T12:00:00Z"},
    ]
    (folder / "posts.jsonl").write_text("\n\n".join(map(json.dumps, rows)))

    assert submit("--file", "posts.jsonl") == 0
    assert queued() == [
        Post("a", "one", metadata={"k": 1}),
        Post("posts:3", "two", source="s"),
        Post("7", "three", created_at=datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["posts.jsonl"]


def test_a_second_run_gives_the_same_posts(folder: Path, queued: Queued) -> None:
    (folder / "posts.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    submit("--file", "posts.jsonl")
    submit("--file", "posts.jsonl")

    assert queued()[:2] == queued()[2:]


DATA_SET = (
    b'{"text": "one", "label": 1, "category": "chat", "source": "not a source!"}\n{"text": "two", "label": 0, "category": null, "source": "x y"}\n'
)


def test_a_labelled_data_set_is_submitted_with_one_option_or_two(folder: Path, queued: Queued) -> None:
    (folder / "set.jsonl.gz").write_bytes(gzip.compress(DATA_SET))

    assert submit("--file", "set.jsonl.gz", "--extra", "ignore", "--source", "set", "--id-prefix", "dev-") == 0
    assert queued() == [Post("dev-set:1", "one", source="set"), Post("dev-set:2", "two", source="set")]


def test_extra_fields_may_be_kept_as_metadata(folder: Path, queued: Queued) -> None:
    (folder / "set.jsonl").write_bytes(
        DATA_SET + b'{"text": "three", "label": [1], "source": "s", "id": "3"}\n{"text": "four", "label": 2, "metadata": {"label": 3, "a": 1}}'
    )

    assert submit("--file", "set.jsonl", "--extra", "metadata", "--source", "set") == 1
    assert [post.metadata for post in queued()] == [{"label": 1, "category": "chat"}, {"label": 0, "category": None}, {"label": 3, "a": 1}]
    assert rejected(folder / "set.jsonl.rejected.jsonl") == [(3, "invalid_metadata")]


def test_rows_that_are_no_posts_do_not_stop_the_run(folder: Path, queued: Queued, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        b'\xef\xbb\xbf{"id": "first", "text": "a"}',
        b"not json",
        b'{"id": "1", "text": ""}',
        b'{"id": "1", "text": "\xff"}',
        b'{"id": "1", "text": "' + SECRET.encode() + b'", "label": 1}',
        b'["a"]',
        b'{"id": true, "text": "a"}',
        b'{"id": "1", "text": "' + b"a" * 100_001 + b'"}',
        b'{"id": "1", "text": "' + b"a" * 10_000_000 + b'"}',
        b'{"id": "1", "text": "a", "v": 2}',
        b'{"id": "last", "text": "a", "v": 1}',
    ]
    (folder / "posts.jsonl").write_bytes(b"\r\n".join(rows))

    assert submit("--file", "posts.jsonl") == 1
    assert [post.id for post in queued()] == ["first", "last"]
    assert rejected(folder / "posts.jsonl.rejected.jsonl") == [
        (2, "not_json"),
        (3, "empty_text"),
        (4, "not_utf8"),
        (5, "unknown_field"),
        (6, "not_an_object"),
        (7, "wrong_type"),
        (8, "text_too_long"),
        (9, "entry_too_large"),
        (10, "unknown_version"),
    ]
    told = capsys.readouterr()
    assert "2 posts submitted" in told.out
    assert "9 rows rejected" in told.out
    assert "line 2: the entry is not JSON" in told.out
    assert SECRET not in told.out + told.err


def test_rejected_rows_can_be_mended_and_submitted(folder: Path, queued: Queued) -> None:
    (folder / "posts.jsonl").write_text('{"id": "1", "text": "a", "label": 1}\n')
    submit("--file", "posts.jsonl")
    row = json.loads((folder / "posts.jsonl.rejected.jsonl").read_text())

    assert json.loads(row["row"]) == {"id": "1", "text": "a", "label": 1}
    assert submit("--file", "posts.jsonl", "--extra", "ignore") == 0
    assert not (folder / "posts.jsonl.rejected.jsonl").exists()


def test_columns_may_have_other_names(folder: Path, queued: Queued) -> None:
    (folder / "posts.jsonl").write_text('{"key": 5, "body": "a", "id": "other"}\n{"body": "b"}\n')

    assert submit("--file", "posts.jsonl", "--id-field", "key", "--text-field", "body", "--extra", "metadata") == 1
    assert queued() == [Post("5", "a", metadata={"id": "other"})]
    assert rejected(folder / "posts.jsonl.rejected.jsonl") == [(2, "missing_field")]


# CSV, TSV and text


def test_rows_of_csv_are_posts(folder: Path, queued: Queued) -> None:
    table = '\ufeffcomment,body,author,created_at\r\n1,"a ""quoted"", long\r\ntext",ada,2026-01-31T12:00:00Z\r\n2,plain,,\r\n,without id,,\r\n'
    (folder / "c.csv").write_bytes(table.encode())

    assert submit("--file", "c.csv", "--id-column", "comment", "--text-column", "body") == 0
    assert queued() == [
        Post("1", 'a "quoted", long\r\ntext', author="ada", created_at=datetime(2026, 1, 31, 12, tzinfo=UTC)),
        Post("2", "plain"),
        Post("c:5", "without id"),
    ]


def test_rows_of_csv_that_are_no_posts_do_not_stop_the_run(folder: Path, queued: Queued) -> None:
    (folder / "c.csv").write_bytes(b'id,text\n1,a\n2\n3,"a" b\n4,\xff\n5,\n6,b,c\n7,\x00z\n8,"never closed\n')

    assert submit("--file", "c.csv") == 1
    assert [post.id for post in queued()] == ["1", "7"]
    assert [reason for _, reason in rejected(folder / "c.csv.rejected.jsonl")] == [
        "not_csv",
        "not_csv",
        "not_utf8",
        "empty_text",
        "not_csv",
        "not_csv",
    ]


def test_a_csv_file_without_the_column_is_told_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.csv").write_text("id,body\n1,a\n")

    assert submit("--file", "c.csv") == 1
    assert "--text-column" in capsys.readouterr().err


def test_other_columns_of_csv_are_extra(folder: Path, queued: Queued) -> None:
    (folder / "c.csv").write_text("id,text,score\n1,a,5\n2,b,\n")

    assert submit("--file", "c.csv", "--extra", "metadata") == 0
    assert [post.metadata for post in queued()] == [{"score": "5"}, {}]


def test_tsv_and_text_are_read_too(folder: Path, queued: Queued) -> None:
    (folder / "t.tsv").write_text("id\ttext\n1\tone, with comma\n")
    (folder / "n.txt.gz").write_bytes(gzip.compress("zwei\r\n\n  \ndrei ü\n".encode()))

    assert submit("--file", "t.tsv", "n.txt.gz") == 1
    assert queued() == [Post("1", "one, with comma"), Post("n:1", "zwei"), Post("n:4", "drei ü")]
    assert rejected(folder / "n.txt.gz.rejected.jsonl") == [(3, "empty_text")]


def test_a_broken_gzip_file_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.jsonl.gz").write_bytes(b"no gzip")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(DATA_SET * 100)[:-20])

    assert submit("--file", "a.jsonl.gz") == 1
    assert submit("--file", "b.jsonl.gz") == 1
    assert capsys.readouterr().err.count("cannot be read to its end") == 2


# Standard input


def test_standard_input_is_read(queued: Queued, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pipe(monkeypatch, b'{"text": "one"}\n{"text": "' + SECRET.encode() + b'", "label": 1}\n')

    assert submit("--format", "jsonl", "--id-prefix", "p-") == 1
    assert queued() == [Post("p-stdin:1", "one")]
    told = capsys.readouterr().err
    assert json.loads(told)["reason"] == "unknown_field"
    assert SECRET not in told


def test_standard_input_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pipe(monkeypatch, b'{"text": "one"}\n')
    with pytest.raises(SystemExit):
        submit()

    assert "say its --format" in capsys.readouterr().err


# The queue


def test_a_queue_that_is_away_is_told_in_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODQ_REDIS_URL", "redis://:password@127.0.0.1:1/0")
    (folder / "posts.jsonl").write_text('{"text": "one"}\n')

    assert submit("--file", "posts.jsonl") == 1
    assert submit("hello") == 1
    assert capsys.readouterr().err == "modq submit: the queue at 127.0.0.1:1/0 cannot be reached\n" * 2


def test_the_bookmark_and_rejected_rows_go_where_they_are_told(folder: Path) -> None:
    (folder / "posts.jsonl").write_text("no\n")

    assert submit("--file", "posts.jsonl", "--state", "state/of/it") == 1
    assert [path.name for path in Path("state/of/it").iterdir()] == ["posts.jsonl.rejected.jsonl"]

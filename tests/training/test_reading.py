"""Labelled texts are read from JSON lines and CSV, gzipped or not; what is no row is told by its number, without its text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from modq_training.dataset import Example, InvalidDataset, digest, read_examples
from modq_training.evaluation import read_data_sets

JSONL = '{"text": "héllo", "label": 0, "category": "chat", "source": "forum"}\n\n{"text": "you fool", "label": 1}\n'


def test_json_lines_are_read_and_a_row_without_source_takes_the_file_name(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(JSONL)
    assert read_examples(path) == [Example("héllo", 0, "forum", "chat"), Example("you fool", 1, "talk")]


def test_gzip_changes_neither_the_rows_nor_the_digest(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "talk.jsonl", tmp_path / "talk.jsonl.gz"
    plain.write_text(JSONL)
    zipped.write_bytes(gzip.compress(JSONL.encode()))
    assert read_examples(plain) == read_examples(zipped)
    assert digest(plain) == digest(zipped)


def test_csv_is_read_with_line_breaks_in_a_text(tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    path.write_text('text,label\n"two\nlines",1\n')
    assert read_examples(path) == [Example("two\nlines", 1, "talk")]


@pytest.mark.parametrize("row", ['{"text": "secret"}', '{"text": "secret", "label": 2}', '{"text": 5, "label": 1}', '["secret"]', '{"text": "secret", "label": "toxic"}'])
def test_what_is_no_row_is_refused_by_number_and_not_quoted(tmp_path: Path, row: str) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text('{"text": "fine", "label": 0}\n' + row)
    with pytest.raises(InvalidDataset, match=r"row 2 of talk\.jsonl") as told:
        read_examples(path)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", b"not json"), ("a.jsonl", b'{"text": "\xff", "label": 0}'), ("a.jsonl.gz", b"no gzip")])
def test_a_file_that_is_not_what_its_name_says_is_a_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidDataset, match=name):
        read_examples(tmp_path / name)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="cannot be read"):
        read_examples(tmp_path / "none.jsonl")


def test_rules_are_a_list_or_words_and_unknown_where_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1, "rules": ["insult"], "template": "t"}\n{"text": "b", "label": 0, "rules": []}\n{"text": "c", "label": 1}\n')
    assert [(row.rules, row.template) for row in read_examples(tmp_path / "a.jsonl")] == [(("insult",), "t"), ((), ""), (None, "")]
    (tmp_path / "b.csv").write_text("text,label,rules\na,1,insult threats\nb,1,\n")
    assert [row.rules for row in read_examples(tmp_path / "b.csv")] == [("insult", "threats"), None]
    (tmp_path / "c.jsonl").write_text('{"text": "secret", "label": 1, "rules": {"insult": 1}}\n')
    with pytest.raises(InvalidDataset, match="no list of ids") as told:
        read_examples(tmp_path / "c.jsonl")
    assert "secret" not in str(told.value)


def test_a_limit_is_for_one_file_or_for_all_others(tmp_path: Path) -> None:
    for name in ("long", "short", "whole"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": f"{name} {n}", "label": n % 2}) + "\n" for n in range(40)))
    files = [tmp_path / f"{name}.jsonl" for name in ("long", "short", "whole")]
    data_sets = read_data_sets(files, limits={"": 10, "long": 30, "whole": 0})
    assert {one.name: len(one.examples) for one in data_sets} == {"long": 30, "short": 10, "whole": 40}
    with pytest.raises(InvalidDataset, match="limit for lnog"):
        read_data_sets(files, limits={"lnog": 3})

"""Verdicts are read back by post or by filter, from code and from the command line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.store.conftest import Query
from tests.store.making import safe, verdict

from modq.signature import new_secret
from modq_worker.endpoints import Endpoints
from modq_worker.reader import Filter, NotJudgedInTime, VerdictReader
from modq_worker.verdict_store import VerdictStore

Modq = Callable[..., int]


@pytest.fixture
def reader(database_url: str) -> Iterator[VerdictReader]:
    with VerdictReader(database_url) as reader:
        yield reader


def test_a_verdict_is_found_by_its_post(reader: VerdictReader, store: VerdictStore) -> None:
    saved = verdict("7", source="forum", author="ada", metadata={"n": 1}, severity="high")
    store.save([saved])
    found = reader.get("7", source="forum")
    assert found is not None
    assert (found.label, found.score, found.severity, found.metadata) == ("toxic", 0.9, "high", {"n": 1})
    assert found.content_sha256 == saved.post.content_hash.hex()
    assert reader.get("7") is None, "another source's post of the same id is another post"


def test_of_an_edited_post_the_newest_content_counts_or_the_one_that_is_named(reader: VerdictReader, store: VerdictStore) -> None:
    first = verdict("1", "you idiot")
    store.save([first])
    time.sleep(0.002)
    store.save([safe("1", "you darling")])
    newest, named = reader.get("1"), reader.get("1", content_sha256=first.post.content_hash.hex())
    assert (newest and newest.label, named and named.label) == ("safe", "toxic")


def test_waiting_ends_as_soon_as_the_verdict_is_there(reader: VerdictReader, store: VerdictStore) -> None:
    threading.Timer(0.3, store.save, [[verdict("1")]]).start()
    started = time.monotonic()
    assert reader.wait("1", timeout=10).label == "toxic"
    assert time.monotonic() - started < 2


def test_waiting_in_vain_is_an_error_in_time(reader: VerdictReader) -> None:
    started = time.monotonic()
    with pytest.raises(NotJudgedInTime):
        reader.wait("1", timeout=0.3)
    assert time.monotonic() - started < 1.5


def test_a_list_is_newest_first_and_narrowed_by_every_filter(reader: VerdictReader, store: VerdictStore) -> None:
    for saved in (verdict("1", score=0.95, severity="critical"), safe("2"), verdict("3", source="forum", score=0.7, severity="medium"), safe("4", source="forum")):
        store.save([saved])

    def ids(**filters: object) -> list[str]:
        return [found.post_id for found in reader.find(Filter(**filters))]  # type: ignore[arg-type]

    assert ids() == ["4", "3", "2", "1"]
    assert ids(limit=3) == ["4", "3", "2"]
    assert ids(label="toxic") == ["3", "1"]
    assert ids(source="forum") == ["4", "3"]
    assert ids(min_score=0.7) == ["3", "1"]
    assert ids(min_severity="low") == ids(min_severity="medium") == ["3", "1"]
    assert ids(min_severity="high") == ids(min_severity="critical") == ["1"]
    assert ids(adapter="tiny@1", label="safe") == ["4", "2"]
    assert ids(adapter="another") == []
    assert ids(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert len(ids(since=datetime.now(UTC) - timedelta(hours=1))) == 4


def test_the_command_lists_one_line_each(modq: Modq, store: VerdictStore, capsys: pytest.CaptureFixture[str]) -> None:
    for saved in (verdict("1", severity="low"), verdict("2"), safe("3")):
        store.save([saved])
    assert modq("verdicts", "--label", "toxic", "--since", "1h") == 0
    unknown, low = [line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()]
    assert low == ["toxic", "0.900", "low", "default", "1", "live", "tiny@1"]
    assert unknown == ["toxic", "0.900", "-", "default", "2", "live", "tiny@1"]


def test_the_command_lists_what_is_so_grave_or_graver(modq: Modq, store: VerdictStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.save([verdict("1", severity="low"), verdict("2", severity="high"), verdict("3", severity="critical"), verdict("4")])
    assert modq("verdicts", "--min-severity", "high", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(row["post_id"], row["severity"]) for row in found} == {("2", "high"), ("3", "critical")}


def test_the_command_writes_json(modq: Modq, store: VerdictStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.save([verdict("1", author="ad\N{LATIN SMALL LETTER E WITH ACUTE}")])
    assert modq("verdicts", "--json", "--min-score", "0.5") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["post_id"], told["author"]) == ("1", "ad\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert datetime.fromisoformat(told["stored_at"]).tzinfo


def test_showing_a_post_tells_every_content_and_what_became_of_its_deliveries(
    modq: Modq, store: VerdictStore, endpoints: Endpoints, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoints.add("http://127.0.0.1/hook", new_secret())
    store.save([verdict("1", "you idiot", source="forum", severity="low")])
    store.save([safe("1", "you darling", source="forum")])
    assert modq("verdicts", "show", "1", "--source", "forum", "--json") == 0
    first, second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [delivery["url"] for delivery in first["deliveries"]] == ["http://127.0.0.1/hook"]
    assert (first["label"], second["label"], second["deliveries"]) == ("toxic", "safe", [])
    assert (first["severity"], second["severity"]) == ("low", None)
    assert modq("verdicts", "show", "1", "--source", "forum") == 0
    told = capsys.readouterr().out
    assert "post.flagged to http://127.0.0.1/hook: pending" in told
    assert "severity:       low\n" in told


def test_a_post_without_a_verdict_is_told_by_the_exit_status(modq: Modq, capsys: pytest.CaptureFixture[str]) -> None:
    assert modq("verdicts", "show", "unknown") == 1
    assert "No verdict" in capsys.readouterr().err


def test_no_command_shows_the_text_of_a_post(modq: Modq, store: VerdictStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.save([verdict("1", "nobody may read this")])
    modq("verdicts")
    modq("verdicts", "--json")
    modq("verdicts", "show", "1")
    assert "nobody may" not in capsys.readouterr().out


def test_a_reader_needs_only_the_right_to_read(database_url: str, store: VerdictStore) -> None:
    store.save([verdict("1")])
    with VerdictReader(f"{database_url}?options=-c%20role%3Dpg_read_all_data%20-c%20default_transaction_read_only%3Don") as reader:
        assert reader.get("1") is not None
        assert len(reader.find()) == 1

"""A batch of verdicts is stored whole, each verdict once, with the deliveries that it causes."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import Engine
from tests.store.conftest import Query
from tests.store.making import safe, verdict

from modq.signature import new_secret
from modq_worker.database import conninfo
from modq_worker.endpoints import Endpoints
from modq_worker.verdict_store import DELIVERIES_WRITTEN, KeepText, VerdictStore


def test_a_verdict_is_stored_with_its_post(store: VerdictStore, query: Query) -> None:
    saved = verdict("7", source="forum", author="ada", conversation="t1", language="en", metadata={"board": "a", "n": 3}, severity="high")
    assert store.save([saved]) == 1
    [row] = query("SELECT source, post_id, content_sha256, label, score, severity, adapter, lane, author, metadata, text FROM verdicts_in_force")
    assert row == ("forum", "7", saved.post.content_hash.hex(), "toxic", 0.9, "high", "tiny@1", "live", "ada", {"board": "a", "n": 3}, saved.post.text)


def test_the_first_verdict_stands(store: VerdictStore, query: Query) -> None:
    assert store.save([verdict("1", score=0.9)]) == 1
    assert store.save([verdict("1", score=0.6), verdict("2")]) == 1
    assert query("SELECT score FROM verdicts_in_force WHERE post_id = '1'") == [(0.9,)]


def test_of_two_verdicts_in_one_batch_on_the_same_content_the_first_stands(store: VerdictStore, query: Query) -> None:
    assert store.save([verdict("1", score=0.8), verdict("1", score=0.7)]) == 1
    assert query("SELECT score FROM verdicts") == [(0.8,)]


def test_an_edited_post_has_a_verdict_for_each_content(store: VerdictStore, query: Query) -> None:
    assert store.save([verdict("1", "you idiot"), safe("1", "you darling")]) == 2
    assert query("SELECT count(*), count(DISTINCT content_hash) FROM posts") == [(2, 2)]


def test_the_same_id_in_two_sources_is_two_posts(store: VerdictStore) -> None:
    assert store.save([verdict("1", source="a"), verdict("1", source="b")]) == 2


def test_an_empty_batch_is_nothing_to_do(store: VerdictStore) -> None:
    assert store.save([]) == 0


@pytest.mark.parametrize(("keep", "kept"), [("always", {"bad", "good"}), ("flagged", {"bad"}), ("never", set())])
def test_text_is_kept_as_the_setting_says(engine: Engine, query: Query, keep: KeepText, kept: set[str]) -> None:
    VerdictStore(engine, keep).save([verdict("1", "bad", parent_text="bad"), safe("2", "good", parent_text="good")])
    rows = query("SELECT text, parent_text FROM posts")
    assert {text for text, _ in rows} - {None} == kept
    assert {parent for _, parent in rows} - {None} == kept


def test_each_endpoint_is_told_of_what_it_asked_for(store: VerdictStore, endpoints: Endpoints, query: Query) -> None:
    flagged = endpoints.add("http://127.0.0.1/a", new_secret())
    every = endpoints.add("http://127.0.0.1/b", new_secret(), events=("post.flagged", "post.passed"))
    of_forum = endpoints.add("http://127.0.0.1/c", new_secret(), source="forum")
    disabled = endpoints.add("http://127.0.0.1/d", new_secret())
    endpoints.disable(disabled, "for the test")
    bad, good, foreign = verdict("1", source="forum"), safe("2", source="forum"), verdict("3", source="chat")
    store.save([bad, good, foreign])
    told = set(query("SELECT endpoint_id, event, webhook_id FROM deliveries"))
    assert told == {
        (flagged, "post.flagged", f"msg_{bad.key.hex}"),
        (flagged, "post.flagged", f"msg_{foreign.key.hex}"),
        (every, "post.flagged", f"msg_{bad.key.hex}"),
        (every, "post.flagged", f"msg_{foreign.key.hex}"),
        (every, "post.passed", f"msg_{good.key.hex}"),
        (of_forum, "post.flagged", f"msg_{bad.key.hex}"),
    }


def test_a_verdict_that_is_not_new_causes_no_delivery(store: VerdictStore, endpoints: Endpoints, query: Query) -> None:
    store.save([verdict("1")])
    endpoints.add("http://127.0.0.1/a", new_secret())
    store.save([verdict("1"), verdict("2")])
    assert query("SELECT count(*) FROM deliveries") == [(1,)]


def test_a_listener_is_woken_when_deliveries_were_written_and_only_then(store: VerdictStore, endpoints: Endpoints, engine: Engine) -> None:
    endpoints.add("http://127.0.0.1/a", new_secret())
    with psycopg.connect(**conninfo(engine), autocommit=True) as connection:
        connection.execute(f"LISTEN {DELIVERIES_WRITTEN}")
        store.save([safe("1")])
        assert list(connection.notifies(timeout=0.3)) == []
        store.save([verdict("2")])
        assert len(list(connection.notifies(timeout=3, stop_after=1))) == 1


def test_a_verdict_of_a_higher_revision_is_the_one_in_force(store: VerdictStore, query: Query) -> None:
    store.save([verdict("1")])
    query("""INSERT INTO verdicts (post_key, revision, label, score, truncated, adapter, policy)
             SELECT key, 1, 'safe', 0.2, false, 'tiny@2', 'threshold=0.5' FROM posts""")
    assert query("SELECT label, revision, adapter FROM verdicts_in_force") == [("safe", 1, "tiny@2")]

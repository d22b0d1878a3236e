"""modq demo: real posts through the real stack, every one of them accounted for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modq.post import decode
from modq_worker.demo import POSTS, DemoFailed, Flagged, Report, Tally, read_posts
from modq_worker.embedded import EmbeddedServers

from .conftest import Command, wait_until


def test_the_demo_accounts_for_every_post_and_leaves_nothing_running(command: Callable[..., Command]) -> None:
    # Servers of one's own are not for the demo's posts.
    demo = command("demo", "--posts", "240", MODQ_REDIS_URL="redis://127.0.0.1:1/0", MODQ_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert demo.popen.wait(120) == 0, demo.output
    assert "240 posts published = 240 verdicts + 0 dead letters" in demo.output
    assert "0 refused" in demo.output
    assert "hidden" in demo.output
    assert "posts a second" in demo.output
    assert wait_until(lambda: not demo.processes()), demo.processes()


def test_a_second_demo_in_the_folder_says_so_plainly(command: Callable[..., Command], tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / ".modq" / "demo", fast=True):
        demo = command("demo")
        assert demo.popen.wait(30) == 1
    assert "A modq stack already runs in" in demo.output
    assert "Traceback" not in demo.output


@pytest.mark.parametrize(("content", "complaint"), [(b'{"id": "1", "text": "hi"}\n{"id": "2"}\n', "line 2: text is missing"), (b"\n", "holds no posts")])
def test_a_file_that_is_no_posts_is_refused_by_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "posts.jsonl").write_bytes(content)
    with pytest.raises(DemoFailed, match=complaint):
        read_posts(tmp_path / "posts.jsonl", None, "demo")


def test_the_posts_of_our_own_are_many_distinct_and_mostly_friendly() -> None:
    posts = [decode(line) for line in POSTS.read_bytes().splitlines()]
    assert len({post.text for post in posts}) == len({post.id for post in posts}) == len(posts) > 300
    friendly = sum(post.metadata["written_as"] == "benign" for post in posts)
    assert 0.7 < friendly / len(posts) < 0.8


def test_more_posts_than_the_file_holds_are_other_posts() -> None:
    posts = read_posts(POSTS, 1000, "demo")
    assert len({post.key for post in posts}) == 1000


def test_a_number_that_does_not_add_up_is_told() -> None:
    posts = read_posts(POSTS, 1, "demo")
    right = Tally(published=3, verdicts=2, flagged=1, dead_letters=1, deliveries=1, webhooks=1)
    assert not _report(right, [Flagged(posts[0], 0.9, hidden=True)]).faults
    assert len(_report(Tally(3, 2, 1, 0, 1, 1), []).faults) == 1
    assert len(_report(Tally(3, 2, 1, 1, 1, 0), []).faults) == 1
    assert len(_report(Tally(3, 2, 1, 1, 1, 1, refused=1), []).faults) == 1
    assert len(_report(right, [Flagged(posts[0], 0.9, hidden=False)]).faults) == 1


def _report(tally: Tally, flagged: list[Flagged]) -> Report:
    return Report(3, tally, flagged, {}, None, {})

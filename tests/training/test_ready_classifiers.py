"""A ready classifier answers from an environment of its own; what goes wrong with it is a sentence."""

from __future__ import annotations

import venv
from pathlib import Path

import pytest

from modq_training.ready_classifiers import READY, ReadyFailed, find, running

STAND_IN = "class Words:\n    def load_censor_words(self): pass\n    def contains_profanity(self, text):\n        {body}\nprofanity = Words()\n"


def installed(folder: Path, body: str) -> None:
    """An environment as ``install`` leaves it, in which a module of the test's own has the package's name."""
    home = folder / "better-profanity-0.7.0"
    venv.create(home, with_pip=False)
    [site] = home.glob("lib/python*/site-packages")
    (site / "better_profanity.py").write_text(STAND_IN.format(body=body))
    about = site / "better_profanity-0.7.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: better-profanity\nVersion: 0.7.0\n")
    (about / "RECORD").write_text("words.txt,,\n")
    (site / "words.txt").write_text("heck\n")
    (home / "installed").touch()


def test_texts_go_there_and_scores_come_back_whatever_it_prints(tmp_path: Path) -> None:
    installed(tmp_path, "print('noise'); return 'heck' in text")
    [ready] = find("better-profanity")
    with running(ready, folder=tmp_path) as one:
        assert [score.toxic for score in one.scorer(["oh heck", "fine\nthen", "\ud800 heck 👍"])] == [1, 0, 1]
        assert one.scorer([]) == []
        assert one.download_bytes == len("heck\n")


def test_one_that_ends_is_told_and_not_waited_for(tmp_path: Path) -> None:
    installed(tmp_path, "raise SystemExit(3)")
    [ready] = find("better-profanity")
    with running(ready, folder=tmp_path) as one, pytest.raises(ReadyFailed, match="better-profanity ended"):
        one.scorer(["oh heck"])


def test_all_or_some_are_found_by_name_and_an_unknown_one_is_a_sentence() -> None:
    assert find("all") == list(READY)
    assert find("") == []
    assert [ready.name for ready in find("better-profanity, alt-profanity-check")] == ["better-profanity", "alt-profanity-check"]
    with pytest.raises(ReadyFailed, match="perspective is no ready classifier"):
        find("perspective")

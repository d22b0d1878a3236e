"""The red team finds what an adapter judges wrongly, changes no label, and says where each find came from."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from modq.cli import main
from modq_training.dataset import read_examples
from modq_training.disguise import HELD_OUT
from modq_training.mutations import load_mutations
from modq_training.red_team import Search, attack

TOXIC = [{"text": f"you are a stupid idiot, number {n}", "label": 1, "category": "insult:breaks", "source": "ours", "rules": ["insult"]} for n in range(12)]
SAFE = [{"text": f"what a lovely day, number {n}", "label": 0, "category": "insult:safe", "source": "ours", "rules": []} for n in range(12)]


def counts_words(texts: Sequence[str]) -> list[float]:
    """A judge that knows a few words and nothing else, as a linear model does."""
    return [min(1.0, sum(word in text.lower() for word in ("stupid", "idiot", "fuck", "shit", "damn")) / 2) for text in texts]


def never_wrong(texts: Sequence[str]) -> list[float]:
    return [float("number" in text and "lovely" not in text) for text in texts]


def test_a_counter_of_words_is_beaten_on_both_sides() -> None:
    reports = attack(counts_words, 0.5, TOXIC + SAFE, load_mutations(), Search(rounds=4))
    assert reports[1].wrong_before == reports[0].wrong_before == 0
    assert reports[1].rate_after > 0.8
    assert reports[0].rate_after > 0.5
    assert all(counts_words([find.found.text])[0] < 0.5 for find in reports[1].finds)
    assert all(counts_words([find.found.text])[0] >= 0.5 for find in reports[0].finds)


def test_texts_that_are_judged_wrongly_already_are_counted_and_left_alone() -> None:
    reports = attack(lambda texts: [0.0] * len(texts), 0.5, TOXIC + SAFE, load_mutations(), Search(rounds=2))
    assert reports[1].rate_before == reports[1].rate_after == 1
    assert reports[1].finds == reports[0].finds == []


def test_finds_are_the_same_at_every_run_with_the_same_seed() -> None:
    runs = [[find.row(adapter="a", seed=1) for find in attack(counts_words, 0.5, TOXIC, load_mutations(), Search(seed=seed))[1].finds] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_find_names_its_parent_its_mutations_and_the_adapter() -> None:
    report = attack(counts_words, 0.5, TOXIC, load_mutations(), Search())[1]
    row = report.finds[0].row(adapter="modq@1", seed=0)
    assert row["label"] == 1
    assert row["rules"] == ["insult"]
    assert (row["generator"], row["source"], row["parent_source"], row["adapter"]) == ("red-team", "red_team", "ours", "modq@1")
    assert row["parent"]
    assert set(row["mutations"]) <= set(load_mutations())
    assert row["parent_score"] >= 0.5 > row["score"]


def test_each_round_judges_all_texts_together() -> None:
    calls: list[int] = []

    def counting(texts: Sequence[str]) -> list[float]:
        calls.append(len(texts))
        return [0.9] * len(texts)

    attack(counting, 0.5, TOXIC, load_mutations(), Search(rounds=3))
    assert len(calls) == 4


def test_other_words_take_the_place_of_words_that_are_there() -> None:
    reworded = load_mutations()["wording"]
    assert reworded("people", 0, random.Random(0)) in ("folks", "ppl")
    assert reworded("xyz", 0, random.Random(0)) == "xyz"


def test_the_command_attacks_a_real_adapter_and_writes_what_can_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = tmp_path / "ours.jsonl", tmp_path / "finds.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in [*TOXIC[:3], *SAFE[:3]]))
    assert main(["red-team", "--data", str(data), "--output", str(output), "--rounds", "3", "--tries", "12"]) == 0
    assert "toxic, missed" in capsys.readouterr().out
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == len(read_examples(output)) > 0
    assert {row["rules"] == ["insult"] for row in rows if row["label"]} <= {True}
    assert not any(HELD_OUT in row["mutations"] for row in rows)

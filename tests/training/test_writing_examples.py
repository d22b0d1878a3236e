"""The offline writer: examples of both sides of every rule, balanced, the same at every run, and no sibling in two splits."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from modq.cli import main
from modq_training.constitution import load_constitution
from modq_training.dataset import read_examples, words_of
from modq_training.disguise import HELD_OUT, HOMOGLYPHS
from modq_training.example_writer import Order, write_examples
from modq_training.grammar import EVERYDAY, Grammar, InvalidGrammar, Part, load_grammar
from modq_training.written_example import WrittenExample


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return load_grammar()


@pytest.fixture(scope="module")
def train(grammar: Grammar) -> list[WrittenExample]:
    return written(grammar, "train", 3000, augmented_share=0.2)


@pytest.fixture(scope="module")
def held_out(grammar: Grammar) -> list[WrittenExample]:
    return written(grammar, "test", 1900)


def written(grammar: Grammar, part: Part, count: int, *, seed: int = 1, augmented_share: float = 0.0) -> list[WrittenExample]:
    return list(write_examples(load_constitution(), grammar, Order(part, count, seed, augmented_share)))


def test_half_of_the_examples_break_a_rule_and_four_in_ten_or_more_are_paired(train: list[WrittenExample], held_out: list[WrittenExample]) -> None:
    for examples in (train, held_out):
        assert sum(example.label for example in examples) == len(examples) / 2
        assert sum(bool(example.pair) for example in examples) > 0.44 * len(examples)
    assert (len(train), len(held_out)) == (3000, 1900)


def test_every_rule_but_the_one_without_examples_has_both_sides_in_both_splits(train: list[WrittenExample], held_out: list[WrittenExample]) -> None:
    rules = set(load_constitution().ids) - {"sexual_content_about_minors"}
    for examples in (train, held_out):
        counts = Counter((example.rule, example.label) for example in examples)
        assert {rule for rule, _ in counts} == rules | {EVERYDAY}
        assert min(counts[rule, label] for rule in rules for label in (0, 1)) > len(examples) / 50


def test_no_template_and_no_text_is_in_both_splits(train: list[WrittenExample], held_out: list[WrittenExample]) -> None:
    assert {example.template for example in train}.isdisjoint(example.template for example in held_out)
    assert {words_of(example.text) for example in train}.isdisjoint(words_of(example.text) for example in held_out)


def test_no_text_is_a_near_copy_of_another(train: list[WrittenExample]) -> None:
    assert len({words_of(example.text) for example in train}) == len(train)


def test_a_pair_has_one_of_each_side_of_one_rule(train: list[WrittenExample]) -> None:
    pairs = defaultdict(list)
    for example in train:
        if example.pair:
            pairs[example.pair].append(example)
    assert all(sorted(example.side for example in pair) == ["breaks", "safe"] for pair in pairs.values())
    assert all(len({(example.rule, example.template, example.register, example.augmentation) for example in pair}) == 1 for pair in pairs.values())


def test_what_is_safe_breaks_no_rule_and_what_is_not_breaks_its_own(train: list[WrittenExample]) -> None:
    assert all(example.rules == () if example.side == "safe" else example.rules[0] == example.rule for example in train)
    assert any(example.rules == ("harassment", "self_harm_promotion") for example in train)


def test_every_group_stands_on_both_sides_so_that_its_name_tells_nothing(grammar: Grammar) -> None:
    examples = written(grammar, "train", 60_000)
    for group in grammar.slots["group"]:
        assert isinstance(group, dict)
        named = re.compile(r"\b({})\b".format("|".join(map(re.escape, group.values()))), re.IGNORECASE)
        labels = [example.label for example in examples if named.search(example.text)]
        assert len(labels) > 15
        assert 0.25 < sum(labels) / len(labels) < 0.75


def test_the_same_seed_writes_the_same_and_another_seed_writes_others(grammar: Grammar) -> None:
    assert written(grammar, "train", 200) == written(grammar, "train", 200)
    assert {example.text for example in written(grammar, "train", 200)} != {example.text for example in written(grammar, "train", 200, seed=2)}


def test_no_slot_or_choice_is_left_in_a_text(train: list[WrittenExample], held_out: list[WrittenExample]) -> None:
    plain = [example.text for example in (*train, *held_out) if not example.augmentation]
    assert not [text for text in plain if set(text) & set("{}[]|") or "CLAIM" in text or "(n)" in text]


def test_disguises_are_named_and_the_held_out_family_is_never_among_them(train: list[WrittenExample]) -> None:
    look_alikes = {chr(letter) for letter in HOMOGLYPHS.values() if isinstance(letter, int)}
    assert 0.15 < sum(bool(example.augmentation) for example in train) / len(train) < 0.25
    assert len({example.augmentation for example in train}) > 8
    assert HELD_OUT not in {example.augmentation for example in train}
    assert not any(look_alikes & set(example.text) for example in train)


def test_the_file_is_a_data_set_that_training_reads(tmp_path: Path) -> None:
    output = tmp_path / "examples.jsonl"
    assert main(["write-examples", "--output", str(output), "--count", "100", "--split", "test"]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    examples = read_examples(output)
    assert len(rows) == len(examples) == 100
    assert {example.source for example in examples} == {"constitution"}
    assert {row["constitution"] for row in rows} == {load_constitution().sha256}
    assert all((row["label"] == 1) == bool(row["rules"]) for row in rows)


def test_the_held_out_family_is_refused_for_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["write-examples", "--output", str(tmp_path / "x.jsonl"), "--augmentation", HELD_OUT]) == 1
    assert "held out of training" in capsys.readouterr().err


def test_a_grammar_with_a_slot_that_does_not_exist_is_refused_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "slots.toml").write_text('before = ["a"]\nafter = ["b"]\nopeners = ["c"]\nclosers = ["d"]\n')
    (tmp_path / "frames.toml").write_text("endorse = []\ndeny = []\nboth = []\nreport = []\nquoted = []\n")
    (tmp_path / "insult.toml").write_text('[[family]]\nname = "plain"\nbreaks = ["You {inuslt}"]\n')
    with pytest.raises(InvalidGrammar, match="insult, family plain, names the slot 'inuslt'"):
        load_grammar(tmp_path)

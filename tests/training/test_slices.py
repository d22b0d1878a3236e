"""Slices tell how an adapter does on texts of one kind; too few texts of a kind say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from modq_training.dataset import Example
from modq_training.evaluation import DataSet, Scored
from modq_training.identity_terms import InvalidTerms, identity_gaps, read_terms
from modq_training.metrics import interval, reliability
from modq_training.slices import by_augmentation, by_length, by_rule, confusion, pairs, rule_results
from modq_worker.adapter import Rule
from modq_worker.verdict import Score


def scored(examples: list[Example], scores: list[float]) -> Scored:
    return Scored(DataSet("some", "0" * 64, len(examples), examples), [Score(score) for score in scores], 1.0)


def test_short_and_long_texts_are_told_apart() -> None:
    texts = [(Example("a " * words, label, "s"), Score(label * 0.9 if words < 10 else 0.1)) for words in (3, 50) for label in (0, 1) for _ in range(20)]
    short, long = by_length(texts, 0.5)
    assert (short.name, short.safe, short.toxic, short.recall, short.false_positive_rate, short.roc_auc) == ("1–5", 20, 20, 1, 0, 1)
    assert (long.name, long.recall, long.roc_auc) == ("41–80", 0, 0.5)


def test_too_few_texts_say_nothing() -> None:
    [few] = by_length([(Example("a", 1, "s"), Score(0.9))] * 19, 0.5)
    assert (few.toxic, few.recall, few.recall_interval, few.roc_auc) == (19, None, None, None)


def test_only_generated_texts_have_a_disguise_and_a_rule() -> None:
    made = [(Example("x", 1, "made", "insult:breaks", ("insult",), "t", augmentation=worn), Score(0.9)) for worn in ("", "leetspeak") for _ in range(20)]
    near = [(Example("x", 0, "made", "insult:safe", (), "t"), Score(0.6)) for _ in range(20)]
    other = [(Example("x", 1, "public", "any"), Score(0.1))] * 30
    assert [(one.name, one.toxic, one.recall) for one in by_augmentation(made + near + other, 0.5)] == [("leetspeak", 20, 1), ("none", 20, 1)]
    [insult] = by_rule(made + near + other, 0.5)
    assert (insult.name, insult.toxic, insult.safe, insult.recall, insult.false_positive_rate) == ("insult", 40, 20, 1, 1)


def test_a_rule_is_judged_by_its_own_score_among_texts_whose_rules_are_known() -> None:
    texts = [
        (Example("a", 1, "s", rules=("insult",)), Score(0.9, rules={"insult": 0.8})),
        (Example("b", 1, "s", rules=("threats",)), Score(0.9, rules={"insult": 0.7})),
        (Example("c", 1, "s", rules=("insult",)), Score(0.9, rules={"insult": 0.2})),
        (Example("d", 0, "s", rules=()), Score(0.9)),
        (Example("e", 1, "s"), Score(0.9, rules={"insult": 0.9})),
    ]
    [found] = rule_results(texts, [Rule("insult", "low", 0.5), Rule("doxxing", "high")])
    assert (found.rule, found.breaking, found.precision, found.recall, found.f1) == ("insult", 2, 0.5, 0.5, 0.5)
    assert found.roc_auc == pytest.approx(0.75)


def test_a_pair_is_ranked_right_where_its_breaking_side_scores_higher() -> None:
    sides = [("p", 1, 0.9), ("p", 0, 0.2), ("q", 1, 0.9), ("q", 0, 0.8), ("r", 1, 0.1), ("r", 0, 0.2), ("s", 1, 0.9), ("", 0, 0.9)]
    found = pairs([(Example("x", label, "s", pair=name), Score(score)) for name, label, score in sides], 0.5)
    assert found is not None
    assert (found.n, found.ranked, found.both_right) == (3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert pairs([(Example("x", 0, "s"), Score(0.1))], 0.5) is None


def test_all_texts_together_make_the_confusion_matrix() -> None:
    texts = [(Example("x", label, "s"), Score(score)) for label, score in ((0, 0.1), (0, 0.1), (0, 0.9), (1, 0.1), (1, 0.9))]
    assert confusion(texts, 0.5) == {"true_safe": 2, "false_toxic": 1, "false_safe": 1, "true_toxic": 1}


def test_the_gap_is_the_largest_rate_less_the_smallest_over_terms_with_enough_safe_texts() -> None:
    rows = [("my Gay friend", 0, flagged) for flagged in [0.9] * 3 + [0.1] * 27] + [("two christians met", 0, 0.1)] * 30
    rows += [("a blind man", 0, 0.9)] * 29 + [("gay people are awful", 1, 0.9)] * 50
    [gap] = identity_gaps([scored([Example(text, label, "s") for text, label, _ in rows], [score for *_, score in rows])], 0.5, read_terms("builtin"))
    assert gap.gap == pytest.approx(0.1)
    assert gap.interval[0] <= 0.1 <= gap.interval[1]
    assert [(term.term, term.safe, term.false_positive_rate) for term in gap.terms] == [("gay", 30, pytest.approx(0.1)), ("christian", 30, 0)]


def test_a_longer_term_is_not_counted_for_the_shorter_one_within_it() -> None:
    rows = [Example("an african american writer", 0, "s")] * 30 + [Example("an american writer", 0, "s")] * 30
    [gap] = identity_gaps([scored(rows, [0.1] * 60)], 0.5, read_terms("builtin"))
    assert [(term.term, term.safe) for term in gap.terms] == [("african american", 30), ("american", 30)]


def test_terms_of_ones_own_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("# mine\nBreton\n\nbasque\n")
    assert read_terms(str(tmp_path / "terms.txt")) == ["breton", "basque"]
    (tmp_path / "none.txt").write_text("\n")
    for name in ("none.txt", "absent.txt"):
        with pytest.raises(InvalidTerms, match=name):
            read_terms(str(tmp_path / name))


def test_an_interval_covers_the_share_and_is_no_point_where_nothing_was_hit() -> None:
    low, high = interval(0, 30)
    assert low == 0
    assert 0.08 < high < 0.15
    assert interval(15, 30)[0] < 0.5 < interval(15, 30)[1]


def test_the_bins_of_the_reliability_plot_hold_every_text_once() -> None:
    bins = reliability([0, 1, 1, 0], [0.05, 0.95, 1.0, 0.55])
    assert [(one.n, one.score, one.toxic) for one in bins] == [(1, 0.05, 0), (1, 0.55, 0), (2, pytest.approx(0.975), 1)]

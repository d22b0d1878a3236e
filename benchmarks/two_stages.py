"""What a quick adapter and a strong one reach together: python benchmarks/two_stages.py QUICK STRONG --data FILE...

The quick one judges every text; those nearest to its threshold are judged again by the strong one, whose word then counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rounds import machine, write_json

from modq_training.evaluation import DataSet, Scored, measure_all, read_data_sets, score_all, summarise
from modq_worker.classifier import Classifier
from modq_worker.verdict import Score

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Of all texts, those that the strong one judges too; at 1 it judges alone."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one adapter said of every data set, and what that took."""

    adapter: str
    threshold: float
    scored: Sequence[Scored]
    cpu_seconds: float

    @property
    def surplus(self) -> np.ndarray:
        """By how many nats the log-odds of each text, all data sets in a row, lie above the threshold."""
        scores = np.array([score.toxic for one in self.scored for score in one.scores])
        return _log_odds(scores) - _log_odds(np.array(self.threshold))


@dataclass(frozen=True, slots=True)
class Together:
    """What the two reach, where the strong one judges ``share`` of the texts."""

    share: float
    cost: float
    """CPU, next to the strong one's alone. Its part is reckoned by the characters that it is given."""
    roc_auc: float | None
    recall: float | None
    false_positive_rate_neutral: float | None
    false_positive_rate_rated: float | None


def main() -> None:
    """Judge, print a line for each share, and write the JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("quick", type=Path, help="folder of the adapter that judges every text")
    parser.add_argument("strong", type=Path, help="folder of the one that judges what is not clear")
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="FILE", help="labelled texts, each file a data set of its own")
    parser.add_argument("--limit", type=int, default=500, help="texts of each file (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured to FILE")
    chosen = parser.parse_args()
    data_sets = read_data_sets(chosen.data, limits={"": chosen.limit})
    quick, strong = (judged(folder, data_sets) for folder in (chosen.quick, chosen.strong))
    found = [together(quick, strong, data_sets, share) for share in SHARES]
    print(f"{quick.adapter}, and {strong.adapter} for the share that is least clear: means over {len(data_sets)} data sets")
    print("share   cost    ROC-AUC  recall  FPR, neutral  FPR, rated")
    for one in found:
        figures = (one.roc_auc, one.recall, one.false_positive_rate_neutral, one.false_positive_rate_rated)
        print(f"{one.share:<8.0%}{one.cost:<8.2f}" + "    ".join("–" if figure is None else f"{figure:.3f}" for figure in figures))
    if chosen.json:
        facts = {"quick": quick.adapter, "strong": strong.adapter, "limit": chosen.limit, "machine": machine()}
        write_json(chosen.json, facts | {"data": {one.name: one.sha256 for one in data_sets}, "together": [asdict(one) for one in found]})


def judged(folder: Path, data_sets: Sequence[DataSet]) -> Judged:
    """What the adapter in ``folder`` says of every text."""
    classifier = Classifier.load(folder)
    started = time.process_time()
    scored = score_all(classifier.score, data_sets)
    return Judged(classifier.adapter.id, classifier.adapter.threshold, scored, time.process_time() - started)


def together(quick: Judged, strong: Judged, data_sets: Sequence[DataSet], share: float) -> Together:
    """What both reach where ``share`` of all texts, those nearest to the quick one's threshold, go on to the strong one."""
    lengths = np.array([len(row.text) for one in data_sets for row in one.examples])
    nearest = np.argsort(np.abs(quick.surplus), kind="stable")[: round(share * len(lengths))]
    # The two have thresholds of their own: what counts is how far above it a text lies, and a half is where it is flagged.
    surplus = quick.surplus.copy()
    surplus[nearest] = strong.surplus[nearest]
    scores = iter((1 / (1 + np.exp(-surplus))).tolist())
    summary = summarise(measure_all([Scored(one, [Score(next(scores)) for _ in one.examples], 0.0) for one in data_sets], 0.5))
    cost = strong.cpu_seconds * lengths[nearest].sum() / lengths.sum() + (quick.cpu_seconds if share < 1 else 0.0)
    return Together(
        share=share,
        cost=round(cost / strong.cpu_seconds, 3),
        roc_auc=summary.roc_auc,
        recall=summary.recall,
        false_positive_rate_neutral=summary.false_positive_rate_neutral,
        false_positive_rate_rated=summary.false_positive_rate_rated,
    )


def _log_odds(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


if __name__ == "__main__":
    main()

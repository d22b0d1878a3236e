"""A linear model of words and letters, to compare with: an adapter that does not clearly beat it is not worth its cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from modq_training.calibration import NEUTRAL_ROWS, neutral_examples, rounded_up
from modq_training.dataset import Split, draw
from modq_training.evaluation import Scorer
from modq_training.metrics import threshold_for
from modq_training.recipe import Recipe
from modq_worker.verdict import Score


def train_baseline(recipe: Recipe, split: Split, *, seed: int, false_positive_rate: float) -> tuple[Scorer, float]:
    """Fit TF-IDF logistic regression on what the recipe's first epoch sees, and choose its threshold as the adapter's is.

    Returns:
        What scores texts, and its threshold.
    """
    rows = draw(split.train, recipe.mix, rows=recipe.mix.rows, seed=seed * 1000)
    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=200_000, dtype=np.float32),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True, max_features=300_000, dtype=np.float32),
        ),
        LogisticRegression(C=4, max_iter=300, solver="liblinear", random_state=seed),
    )
    model.fit([row.text for row in rows], [row.label for row in rows])

    def scorer(texts: Sequence[str]) -> Sequence[Score]:
        return [Score(float(score)) for score in model.predict_proba(list(texts))[:, 1]] if texts else []

    neutral = neutral_examples(split.validation, recipe.mix, NEUTRAL_ROWS)
    return scorer, rounded_up(threshold_for([score.toxic for score in scorer([row.text for row in neutral])], false_positive_rate))

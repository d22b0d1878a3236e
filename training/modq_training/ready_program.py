"""A ready classifier on standard input and output: run by path in the environment of its own, which has that classifier and nothing of modq.

It says ``{"bytes": ..., "version": ...}`` of itself, then for every line, a JSON list of texts, a JSON list of scores.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import files, version
from pathlib import Path

Scores = Sequence[float]


def toxic_comment_classifier() -> Callable[[list[str]], Scores]:
    """The largest of its six labels. Its own ``predict`` takes their mean, and one text at a time."""
    from tensorflow.keras.preprocessing.sequence import pad_sequences
    from toxic_classifier.model import MAXLEN, ToxicCommentClassifier

    classifier = ToxicCommentClassifier()

    def scores(texts: list[str]) -> Scores:
        padded = pad_sequences(classifier.tokenizer.texts_to_sequences(texts), maxlen=MAXLEN)
        found: list[float] = classifier.model.predict(padded, verbose=0).max(axis=1).tolist()
        return found

    return scores


def alt_profanity_check() -> Callable[[list[str]], Scores]:
    """Its probability of profanity."""
    from profanity_check import predict_prob

    return lambda texts: [float(score) for score in predict_prob(texts)]


def better_profanity() -> Callable[[list[str]], Scores]:
    """1 where it finds a word of its list, else 0: it knows no degrees."""
    from better_profanity import profanity

    profanity.load_censor_words()
    return lambda texts: [float(profanity.contains_profanity(text)) for text in texts]


CLASSIFIERS = {
    "toxic-comment-classifier": toxic_comment_classifier,
    "alt-profanity-check": alt_profanity_check,
    "better-profanity": better_profanity,
}


def main(name: str) -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # What its libraries print is no answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    scores = CLASSIFIERS[name]()
    own = [Path(str(file.locate())) for file in files(name) or () if file.suffix not in (".pyc", ".py")]
    print(json.dumps({"bytes": sum(file.stat().st_size for file in own if file.is_file()), "version": version(name)}), file=answers, flush=True)
    for line in sys.stdin:
        texts = json.loads(line)
        print(json.dumps(list(scores(texts)) if texts else []), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""What judging costs, against the model card's recipe: python benchmarks/classifier.py [--smoke] [--json FILE].

Both score the same posts in the same run, in turn, on one thread; the scores are compared as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from matrix_rate import operations, square_matrices
from posts import made_up, read
from recipe import MAX_LENGTH, Recipe, random_adapter
from rounds import Cost, Spread, Way, in_turn, machine, ratio, write_json
from shape import measure_shape

from modq_worker.adapter import Adapter, load_adapter, pin_adapter, shipped_adapter
from modq_worker.backbone import GEMMA, find_backbone
from modq_worker.classifier import Classifier
from modq_worker.engine import Engine

CARD, MERGED, MODQ, CLEANED, SHORT = "card's recipe", "card's recipe, merged", "modq", "modq, cleaned text too", "modq, short passes"
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}


def main() -> int:
    """Measure, print and write; 1 when a score is not the recipe's."""
    arguments = _arguments()
    torch.set_num_threads(1)
    if arguments.shape:
        facts = measure_shape(arguments.shape, arguments.device)
    else:
        with tempfile.TemporaryDirectory() as folder:
            adapter = _adapter(arguments, Path(folder))
            texts = read(arguments.data, arguments.posts) if arguments.data else made_up(32 if arguments.smoke else arguments.posts)
            facts = Comparison(adapter, texts, arguments).run()
    about = {"benchmark": "classifier", "date": datetime.now(UTC).date().isoformat(), "machine": machine(), "torch": torch.__version__}
    facts = about | {"rounds": arguments.rounds, "smoke": arguments.smoke} | facts
    if arguments.json:
        write_json(arguments.json, facts)
    return 0 if facts["scores"]["agree"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", help="JSON lines with a text each, gzipped or not (default: made-up posts)")
    parser.add_argument("--posts", type=int, default=2048, help="how many posts of it (default: %(default)s)")
    parser.add_argument("--base", choices=["minilm", "gemma-3-270m"], default="minilm", help="the base model; Gemma is fetched by modq backbone fetch")
    parser.add_argument("--adapter", type=Path, help="a pinned adapter (default: the shipped one; for Gemma a random one)")
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16", "float16"], default="auto", help="modq's precision (default: its own choice)")
    parser.add_argument("--rounds", type=int, default=8, help="how often each way has its turn (default: %(default)s)")
    parser.add_argument("--batch-posts", type=int, default=256, help="posts a turn; a worker takes so many at once (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--smoke", action="store_true", help="one small round: what is checked is the scores")
    parser.add_argument("--shape", choices=["gemma-2b", "tiny"], help="passes of a random model of this shape instead, without texts")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where the shape is measured (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.rounds, arguments.batch_posts = 1, 32
    return arguments


def _adapter(arguments: argparse.Namespace, folder: Path) -> Adapter:
    if arguments.adapter:
        return load_adapter(arguments.adapter)
    if arguments.base == "minilm":
        return load_adapter(shipped_adapter())
    base = find_backbone(GEMMA)
    random_adapter(base, folder)
    return pin_adapter(folder, base=GEMMA.name, revision=GEMMA.revision, base_folder=base, registry_package=GEMMA.registry_package)


class Comparison:
    """The recipe and modq on the same posts."""

    def __init__(self, adapter: Adapter, texts: Sequence[str], arguments: argparse.Namespace) -> None:
        self._adapter = adapter
        self._rounds = arguments.rounds
        self._batch = arguments.batch_posts
        base = find_backbone(adapter.base)
        self._card, self._merged = Recipe(base, adapter), Recipe(base, adapter, merged=True)
        self._modq = Classifier.load(adapter.folder, device="cpu", dtype=arguments.dtype)
        self._raw = _raw_only(self._modq, self._modq.engine)
        # As the backlog is judged while live posts keep coming.
        self._short = _raw_only(self._modq, Engine(self._modq.engine.forward, budget=self._modq.engine.short))
        # The recipe does not read on, so with longer texts the work would not be the same.
        lengths = {text: len(window) for text, [window, *more] in zip(texts, _windows(self._raw, texts), strict=True) if not more}
        self._texts = [text for text in texts if text in lengths]
        self._lengths = [lengths[text] for text in self._texts]
        self._left_out = len(texts) - len(self._texts)
        self._scores: dict[str, dict[str, float]] = {name: {} for name in (CARD, MERGED, MODQ, SHORT)}

    def run(self) -> dict[str, Any]:
        """Measure, print, and return the figures."""
        parameters = next(self._modq.engine.forward.model.parameters())
        dtype: torch.dtype = parameters.dtype
        ways: dict[str, Way] = {
            CARD: self._way(CARD, self._card.scores),
            MERGED: self._way(MERGED, self._merged.scores),
            MODQ: self._way(MODQ, _scores_by(self._raw)),
            SHORT: self._way(SHORT, _scores_by(self._short)),
            CLEANED: self._way(CLEANED, _scores_by(self._modq)),
            **{f"matrices {name}": square_matrices(name) for name in (torch.float32, torch.bfloat16)},
        }
        costs = in_turn(ways, self._rounds)
        facts = self._facts(costs, dtype)
        _print(facts)
        return facts

    def _way(self, name: str, score: Callable[[Sequence[str]], list[float]]) -> Way:
        """Score the next batch of the posts each time, going round."""
        rounds = iter(range(sys.maxsize))

        def work() -> int:
            start = next(rounds) * self._batch % max(1, len(self._texts) - self._batch + 1)
            batch = self._texts[start : start + self._batch]
            found = score(batch)
            self._scores.setdefault(name, {}).update(zip(batch, found, strict=True))
            return len(batch)

        return work

    def _facts(self, costs: dict[str, list[Cost]], dtype: torch.dtype) -> dict[str, Any]:
        batch = self._texts[: self._batch]
        per_post = operations(lambda: self._raw.score(batch)) / len(set(batch))
        matrices = costs[f"matrices {dtype}"]
        fraction = {name: ratio([Cost(round(cost.done * per_post), cost.cpu_seconds, cost.wall_seconds) for cost in costs[name]], matrices) for name in (MODQ, SHORT)}
        speed = {name: Spread.of([cost.per_cpu_second for cost in costs[name]]) for name in (CARD, MERGED, MODQ, SHORT, CLEANED)}
        times = {name: ratio(costs[name], costs[CARD]) for name in (MODQ, SHORT, CLEANED)}
        what = f"judge, {self._adapter.base.name.rpartition('/')[2]} in {str(dtype).removeprefix('torch.')}"
        ordered = sorted(self._lengths)
        return {
            "base": self._adapter.base.name,
            "dtype": str(dtype).removeprefix("torch."),
            "posts": {
                "count": len(self._texts),
                "longer_than_a_window_left_out": self._left_out,
                "tokens_median": statistics.median(ordered),
                "tokens_mean": round(statistics.mean(ordered), 1),
                "tokens_longest": ordered[-1],
                "padding_of_the_recipe": round(self._card.padding(self._texts), 3),
                "cleaning_changes": round(sum(len(self._modq.readings(text)) > 1 for text in self._texts) / len(self._texts), 3),
            },
            "pass_tokens": {MODQ: self._modq.engine.budget, SHORT: self._modq.engine.short},
            "posts_per_cpu_second": speed,
            "times_the_recipe": times,
            "times_the_recipe_merged": {name: ratio(costs[name], costs[MERGED]) for name in (MODQ, SHORT, CLEANED)},
            "matrices_gflops": {str(name).removeprefix("torch."): _rate(costs[f"matrices {name}"]) for name in (torch.float32, torch.bfloat16)},
            "fraction_of_matrix_rate": fraction,
            "scores": self._agreement(dtype),
            # What the README's table is made of.
            "findings": [
                {"what": f"{what}, {name}", "unit": "posts per CPU second", "ours": speed[name], "yardstick": speed[CARD], "times": times[name]}
                for name in (MODQ, SHORT)
            ],
        }

    def _agreement(self, dtype: torch.dtype) -> dict[str, Any]:
        """How far modq's scores are from the recipe's, and the labels that differ in the band of the threshold and outside of it."""
        threshold, band = self._adapter.threshold, TOLERANCE[dtype]
        pairs = [(score, self._scores[CARD][text]) for name in (MODQ, SHORT) for text, score in self._scores[name].items()]
        furthest = max(abs(ours - its) for ours, its in pairs)
        flipped = [its for ours, its in pairs if (ours >= threshold) != (its >= threshold)]
        outside = sum(abs(its - threshold) > band for its in flipped)
        return {
            "compared": len(pairs),
            "largest_difference": furthest,
            "allowed_difference": band,
            "labels_flipped": len(flipped),
            "labels_flipped_outside_the_band": outside,
            "agree": furthest <= band and outside == 0,
        }


def _raw_only(classifier: Classifier, engine: Engine) -> Classifier:
    """The same without the second reading of disguised texts, which the recipe does not do."""
    return Classifier(classifier.adapter, classifier.tokens, engine, readings=lambda text: (text,))


def _windows(classifier: Classifier, texts: Sequence[str]) -> list[tuple[tuple[int, ...], ...]]:
    return [reading.windows for reading in classifier.tokens.read(texts)]


def _scores_by(classifier: Classifier) -> Callable[[Sequence[str]], list[float]]:
    return lambda texts: [score.toxic for score in classifier.score(texts)]


def _rate(costs: Sequence[Cost]) -> Spread:
    return Spread.of([cost.per_cpu_second / 1e9 for cost in costs])


def _print(facts: dict[str, Any]) -> None:
    posts, scores = facts["posts"], facts["scores"]
    print(f"{facts['base']}, {facts['dtype']}, one thread; {posts['count']} posts of {posts['tokens_median']:g} tokens in the median, "
          f"{posts['tokens_mean']} on average, {posts['tokens_longest']} at most; {posts['padding_of_the_recipe']:.0%} of the recipe's tokens are padding")  # fmt: skip
    if posts["longer_than_a_window_left_out"]:
        print(f"left out: {posts['longer_than_a_window_left_out']} posts longer than {MAX_LENGTH} tokens, which the recipe does not read to the end")
    print(f"{'':<26}{'posts per CPU second':<26}{'times the recipe':<26}times the recipe, merged")
    for name, speed in facts["posts_per_cpu_second"].items():
        against = [str(facts[key].get(name, "")) for key in ("times_the_recipe", "times_the_recipe_merged")]
        print(f"{name:<26}{speed!s:<26}{against[0]:<26}{against[1]}")
    print(f"passes of {facts['pass_tokens'][MODQ]} tokens, short passes of {facts['pass_tokens'][SHORT]}; cleaning changes {posts['cleaning_changes']:.1%} of the posts")
    for name, rate in facts["matrices_gflops"].items():
        print(f"square matrices, {name}: {rate!s} GFLOP/s")
    for name, fraction in facts["fraction_of_matrix_rate"].items():
        print(f"{name}: {fraction!s} of it")
    print(f"scores: {scores['largest_difference']:.1e} apart at most, {scores['labels_flipped']} of {scores['compared']} labels flipped, "
          f"{scores['labels_flipped_outside_the_band']} of them further than {scores['allowed_difference']:g} from the threshold")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

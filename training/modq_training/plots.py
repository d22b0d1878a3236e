"""The plots of an evaluation, as SVG files that are the same for the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from modq_training.comparison import Contender
from modq_training.metrics import Bin

RELIABILITY, COMPARISON, SPEED = "reliability.svg", "comparison.svg", "speed.svg"
MARKERS = "osD^vP*X"


def draw_plots(folder: Path, bins: Sequence[Bin], contenders: Sequence[Contender]) -> list[str]:
    """Write those plots for which there are figures to ``folder``; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    if bins:
        _reliability(folder / RELIABILITY, bins)
        drawn.append(RELIABILITY)
    if any(one.summary.roc_auc is not None for one in contenders):
        _comparison(folder / COMPARISON, contenders)
        drawn.append(COMPARISON)
        if len(contenders) > 1:
            _speed(folder / SPEED, contenders)
            drawn.append(SPEED)
    return drawn


def _reliability(file: Path, bins: Sequence[Bin]) -> None:
    with _plot(file, (5, 5)) as axes:
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="calibrated")
        axes.plot([one.score for one in bins], [one.toxic for one in bins], marker="o", label="measured")
        for one in bins:
            axes.annotate(f"{one.n:,}", (one.score, one.toxic), textcoords="offset points", xytext=(4, -10), fontsize=7)
        axes.set(xlabel="mean score", ylabel="share of texts that are toxic", xlim=(0, 1), ylim=(0, 1), title="Reliability, with the texts in each tenth")
        axes.legend()


def _comparison(file: Path, contenders: Sequence[Contender]) -> None:
    names = [result.name for result in contenders[0].results if result.measured.roc_auc is not None]
    with _plot(file, (8, 1.5 + 0.3 * len(names))) as axes:
        for marker, one in zip(MARKERS * len(contenders), contenders, strict=False):
            of = {result.name: result.measured.roc_auc for result in one.results}
            axes.scatter([of[name] for name in names], range(len(names)), marker=marker, label=one.name)
        axes.axvline(0.5, color="0.7", linewidth=1)
        axes.set(xlabel="ROC-AUC (0.5 is chance)", yticks=range(len(names)), yticklabels=names, title="Data sets with both classes")
        axes.invert_yaxis()
        axes.grid(axis="y", color="0.9")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _speed(file: Path, contenders: Sequence[Contender]) -> None:
    with _plot(file, (7, 4)) as axes:
        for marker, one in zip(MARKERS * len(contenders), contenders, strict=False):
            axes.scatter([one.summary.texts_per_second], [one.summary.roc_auc], marker=marker, label=one.name)
        axes.set(xscale="log", xlabel="texts a second in this evaluation", ylabel="mean ROC-AUC", title="Quality beside speed")
        axes.grid(color="0.9")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


@contextmanager
def _plot(file: Path, inches: tuple[float, float]) -> Iterator[Any]:
    """One pair of axes, written without a date and with the same ids every time."""
    # A figure by itself, not pyplot's: no window, nothing global but the salt of the ids.
    with mpl.rc_context({"svg.hashsalt": "modq", "svg.fonttype": "none"}):
        figure = Figure(figsize=inches)
        yield figure.add_subplot()
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})

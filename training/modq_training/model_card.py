"""The model card, rendered from what was measured: a section exists only when its facts do."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

from modq_worker.adapter import load_adapter

MEASURED = "measured"
"""Folder, inside the adapter's, of what was measured; the worker neither reads nor pins it."""
RUN, EVALUATION = "run.json", "evaluation.json"
CARD, TEMPLATE = "README.md", "model_card.md.jinja"


def write_card(folder: Path) -> Path:
    """Write ``README.md`` of the pinned adapter in ``folder`` from its own files.

    Raises:
        AdapterRefused: the folder is no pinned adapter.
    """
    card = folder / CARD
    card.write_text(render_card(folder), encoding="utf-8")
    return card


def render_card(folder: Path) -> str:
    """The card's text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  Markdown, not HTML; every value is the project's own.
    )
    environment.filters |= {"figure": figure, "percent": percent, "between": between, "megabytes": megabytes, "row": row}
    return environment.get_template(TEMPLATE).render(
        adapter=load_adapter(folder),
        run=read_measured(folder, RUN),
        evaluation=read_measured(folder, EVALUATION),
        data_sets=known_data_sets(),
    )


def write_measured(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Keep facts with the adapter, as JSON, real numbers at six places."""
    (folder / MEASURED).mkdir(parents=True, exist_ok=True)
    (folder / MEASURED / name).write_text(json.dumps(_rounded(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_measured(folder: Path, name: str) -> dict[str, Any] | None:
    """Facts kept with the adapter, or None where they were not measured."""
    try:
        facts: dict[str, Any] = json.loads((folder / MEASURED / name).read_bytes())
    except FileNotFoundError:
        return None
    return facts


def known_data_sets() -> dict[str, dict[str, str]]:
    """Title, licence and meaning of the public data sets by the names that their rows carry."""
    return tomllib.loads((Path(__file__).parent / "data_sets.toml").read_text(encoding="utf-8"))


def figure(value: float | None) -> str:
    """A share to three places, ``–`` where there is none."""
    return "–" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"


def row(one: Mapping[str, Any]) -> str:
    """A slice as a row of a table."""
    cells = (one["name"], one["toxic"], one["safe"], figure(one["roc_auc"]))
    shares = (f"{figure(one[name])}{between(one[f'{name}_interval'])}" for name in ("recall", "false_positive_rate"))
    return "| " + " | ".join(map(str, (*cells, *shares))) + " |"


def megabytes(count: int | None) -> str:
    """Bytes as megabytes, ``–`` where nothing is downloaded."""
    return "–" if count is None else f"{count / 1e6:,.1f}"


def between(interval: Sequence[float] | Undefined | None) -> str:
    """An interval as `` (low–high)``, nothing where there is none."""
    return "" if interval is None or isinstance(interval, Undefined) else f" ({interval[0]:.3f}–{interval[1]:.3f})"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value

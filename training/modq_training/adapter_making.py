"""The way from labelled files to a pinned adapter with its model card."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modq_training.calibration import calibrate, pin
from modq_training.dataset import Split, deduplicate, digest, mark_tempting, read_examples, split
from modq_training.fine_tuning import fine_tune
from modq_training.model_card import RUN, write_card, write_measured
from modq_training.recipe import Recipe
from modq_worker.adapter import Adapter, Base, hash_weights
from modq_worker.backbone import find_backbone


def make_adapter(
    recipe: Recipe,
    data: Sequence[Path],
    output: Path,
    *,
    backbone: Path | None = None,
    seed: int = 0,
    epochs: int | None = None,
    max_steps: int | None = None,
    false_positive_rate: float = 0.01,
    resume: bool = False,
    quiet: bool = False,
) -> tuple[Adapter, dict[str, Any]]:
    """Fine-tune, calibrate, pin and describe; leaves a folder in ``output`` that the worker loads.

    Returns:
        The adapter, and the facts of the run, which are kept in the folder too.
    """
    base = base_folder(recipe, backbone)
    texts, hashes = read_split(data, recipe.validation_share)
    trained = fine_tune(recipe, texts, base, output, seed=seed, epochs=epochs, max_steps=max_steps, resume=resume, quiet=quiet)
    calibration = calibrate(recipe, output, base, texts.validation, false_positive_rate)
    copy_tokenizer(base, output)
    facts = {"recipe": asdict(recipe), "data": hashes, "trained": asdict(trained), "calibration": asdict(calibration)}
    adapter = pin(
        recipe,
        output,
        base,
        threshold=calibration.threshold,
        temperature=calibration.temperature,
        metrics={"validation_roc_auc": round(trained.validation_roc_auc, 4), "false_positive_rate_asked": false_positive_rate},
        about={"name": recipe.name, "seed": seed, "data": {entry["name"]: entry["sha256"] for entry in hashes}},
    )
    write_measured(output, RUN, facts)
    write_card(output)
    return adapter, facts


def copy_tokenizer(base: Path, output: Path) -> None:
    """Give the adapter its base's tokenizer, so that it is pinned with the adapter and a text is always cut the same way."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (base / name).exists():
            shutil.copyfile(base / name, output / name)


def base_folder(recipe: Recipe, local: Path | None) -> Path:
    """Where the recipe's base lies, its weights' hash checked where the recipe pins one."""
    if recipe.sha256:
        return find_backbone(Base(recipe.base, recipe.revision or "", {"model.safetensors": recipe.sha256}, recipe.registry_package), local)
    assert local is not None, "a recipe that pins no weights is used with a local folder only"
    hash_weights(local)
    return local


def read_split(data: Sequence[Path], validation_share: float) -> tuple[Split, list[dict[str, Any]]]:
    """The files' texts without copies, split; and each file's name, rows and hash."""
    by_file = {path: read_examples(path) for path in data}
    hashes = [{"name": path.name.split(".")[0], "rows": len(rows), "sha256": digest(path)} for path, rows in by_file.items()]
    texts = deduplicate(example for rows in by_file.values() for example in rows)
    return mark_tempting(split(texts, validation_share=validation_share)), hashes

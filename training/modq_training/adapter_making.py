"""The way from labelled files to a pinned adapter with its model card."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modq_training.calibration import calibrate, pin
from modq_training.constitution import Constitution, load_constitution
from modq_training.dataset import Example, InvalidDataset, Split, deduplicate, digest, mark_tempting, read_examples, relabel, split
from modq_training.disguise import TRAINED
from modq_training.fine_tuning import fine_tune
from modq_training.model_card import RUN, write_card, write_measured
from modq_training.recipe import Recipe
from modq_worker.adapter import Adapter, Base, Rule, hash_weights
from modq_worker.backbone import find_backbone

FEWEST = 20
"""A rule that fewer texts break is not learnt: its scores would be noise."""


def make_adapter(
    recipe: Recipe,
    data: Sequence[Path],
    output: Path,
    *,
    backbone: Path | None = None,
    constitution: Path | None = None,
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
    texts, hashes = read_split(data, recipe)
    known, rules = learnable_rules(texts.train, constitution)
    ids = [rule.id for rule in rules]
    trained = fine_tune(recipe, texts, base, output, rules=ids, seed=seed, epochs=epochs, max_steps=max_steps, resume=resume, quiet=quiet)
    copy_tokenizer(base, output)
    calibration = calibrate(recipe, output, base, texts.validation, rules, false_positive_rate)
    worn = {row.augmentation for row in texts.train} - {""} | set(TRAINED if recipe.disguised_share else ())
    facts = {"recipe": asdict(recipe), "data": hashes, "augmentations": sorted(worn), "trained": asdict(trained), "calibration": asdict(calibration)}
    adapter = pin(
        recipe,
        output,
        base,
        threshold=calibration.threshold,
        temperature=calibration.temperature,
        rules=calibration.rules,
        constitution=known.sha256 if known else None,
        metrics={"validation_roc_auc": round(trained.validation_roc_auc, 4), "false_positive_rate_asked": false_positive_rate},
        about={"name": recipe.name, "seed": seed, "data": {entry["name"]: entry["sha256"] for entry in hashes}},
    )
    write_measured(output, RUN, facts)
    write_card(output)
    return adapter, facts


def learnable_rules(examples: Iterable[Example], file: Path | None = None) -> tuple[Constitution | None, list[Rule]]:
    """The rules that enough examples break, in the constitution's order, and the constitution; neither where no example names one.

    Raises:
        InvalidDataset: an example breaks a rule that the constitution does not have.
    """
    counts = Counter(rule for example in examples for rule in example.rules or ())
    if not counts:
        return None, []
    constitution = load_constitution(file)
    if unknown := sorted(set(counts) - set(constitution.ids)):
        raise InvalidDataset(f"The data names the rule {unknown[0]}, which the constitution does not have: name the one it was made from with --constitution.")
    return constitution, [Rule(rule.id, rule.severity) for rule in constitution.rules if counts[rule.id] >= FEWEST]


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


def read_split(data: Sequence[Path], recipe: Recipe) -> tuple[Split, list[dict[str, Any]]]:
    """The files' texts without copies, labelled as the recipe's mix says, split; and each file's name, rows and hash."""
    by_file = {path: read_examples(path) for path in data}
    hashes = [{"name": path.name.split(".")[0], "rows": len(rows), "sha256": digest(path), "sources": sorted({row.source for row in rows})} for path, rows in by_file.items()]
    texts = deduplicate(relabel((example for rows in by_file.values() for example in rows), recipe.mix))
    return mark_tempting(split(texts, validation_share=recipe.validation_share)), hashes

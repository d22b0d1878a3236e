"""Train an adapter on labelled texts, choose its threshold and pin it."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from modq.errors import ModqError
from modq_training.recipe import InvalidRecipe, Recipe, load_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="FILE", help="labelled texts: .jsonl or .csv, .gz or not, with text and label (0 safe, 1 toxic)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for the adapter")
    parser.add_argument("--recipe", default="minilm", help="which recipe (default: minilm)")
    parser.add_argument("--recipes", type=Path, metavar="FILE", help="a recipe.toml of your own")
    parser.add_argument("--constitution", type=Path, metavar="FILE", help="whose rules the data names (default: the one that comes with modq)")
    parser.add_argument("--backbone", type=Path, metavar="FOLDER", help="local folder of the base model")
    parser.add_argument("--revision", help="commit of the base model on its hub, where the recipe pins none")
    parser.add_argument("--seed", type=int, default=0, help="decides every draw (default: 0)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--max-steps", type=int, metavar="N", help="stop after N steps of the optimiser")
    parser.add_argument("--false-positive-rate", type=float, default=0.01, metavar="SHARE", help="of everyday text, for which the threshold is chosen (default: 0.01)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: one per core)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint of an interrupted run with the same arguments")


def run(arguments: argparse.Namespace) -> None:
    recipe = pinned(load_recipe(arguments.recipe, arguments.recipes), arguments.revision, arguments.backbone)
    _refuse_to_overwrite(arguments.output, arguments.resume)

    import torch

    from modq_training.adapter_making import make_adapter

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    adapter, facts = make_adapter(
        recipe,
        arguments.data,
        arguments.output,
        backbone=arguments.backbone,
        constitution=arguments.constitution,
        seed=arguments.seed,
        epochs=arguments.epochs,
        max_steps=arguments.max_steps,
        false_positive_rate=arguments.false_positive_rate,
        resume=arguments.resume,
    )
    print(f"{adapter.id}: validation ROC-AUC {facts['trained']['validation_roc_auc']:.4f}, threshold {adapter.threshold}, temperature {adapter.temperature}")
    print(f"Next: modq evaluate {arguments.output} --data FILE...")


def pinned(recipe: Recipe, revision: str | None, backbone: Path | None) -> Recipe:
    """The recipe with the base's revision settled.

    Raises:
        InvalidRecipe: neither the recipe nor the user says which revision, or a base without a known hash is not at hand.
    """
    recipe = replace(recipe, revision=revision or recipe.revision)
    if not recipe.revision or not re.fullmatch(r"[0-9a-f]{40}", recipe.revision):
        raise InvalidRecipe(f"The recipe {recipe.name} pins no revision of {recipe.base}: name the one in your folder with --revision (40 hex digits).")
    if not recipe.sha256 and not backbone:
        raise InvalidRecipe(f"The recipe {recipe.name} pins no weights of {recipe.base}: download them and name the folder with --backbone.")
    return recipe


def _refuse_to_overwrite(output: Path, resume: bool) -> None:
    if (output / "adapter.json").exists() and not resume:
        raise ModqError(f"{output} already holds an adapter: choose another folder, or remove it first.")

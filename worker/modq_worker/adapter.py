"""The adapter: a folder of LoRA weights and the ``adapter.json`` that pins every byte the classifier loads.

Training hands over nothing else, and the worker trusts nothing else. PEFT's own files stay as PEFT wrote
them; ``adapter.json`` adds the base model at a fixed revision, the SHA-256 of every file, the calibration
and the threshold. It is read and checked without importing a model library.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from modq.errors import ModqError
from modq.severity import Severity

FORMAT_VERSION: Final = 1
PIN: Final = "adapter.json"
WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
RULES: Final = "rules.safetensors"
"""The second head, of one row per rule: ``weight`` and, where the first head has one, ``bias``."""
LABELS: Final = {"0": "safe", "1": "toxic"}

_PICKLES: Final = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
# What a trainer leaves beside the weights, and nothing here ever opens.
_NEVER_OPENED: Final = frozenset({"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"})
_LOADABLE: Final = frozenset({".json", ".safetensors", ".model", ".txt", ".jinja"})
_HEADS: Final = re.compile(r"\b(score|classifier|classification_head)\b")

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class AdapterRefused(ModqError):
    """The folder is no adapter that the worker may load; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Base:
    """The base model, wherever it is found: only weights with these hashes are it."""

    name: Annotated[str, Field(min_length=1)]
    """Its name on the hub, such as ``google/gemma-2b``."""
    revision: Revision
    """The commit on the hub; of weights that are no commit's, the first 40 digits of the file's hash they were made from."""
    weights: Annotated[dict[FileName, Sha256], Field(min_length=1)]
    """SHA-256 of each weights file: every shard and their index, where there are several."""
    registry_package: str | None = None
    """The package of the Python index that holds the same weights, for machines without a hub."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the constitution, as the adapter's second head knows it."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    severity: Severity
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which a text breaks the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pin:
    """The content of ``adapter.json``."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    version: int = FORMAT_VERSION
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    base: Base
    files: Annotated[dict[FileName, Sha256], Field(min_length=1)]
    """SHA-256 of every file of the folder that is loaded."""
    labels: dict[str, str] = field(default_factory=lambda: dict(LABELS))
    max_length: Annotated[int, Field(ge=16, le=8192)] = 256
    """Tokens of one window, its special tokens included: what the adapter was trained with."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Score from which a text is toxic, unless the site's policy says otherwise."""
    calibration: dict[str, Annotated[float, Field(gt=0, le=1000)]] = field(default_factory=lambda: {"temperature": 1.0})
    """``temperature``: what the difference of the two logits is divided by before it becomes a probability."""
    rules: list[Rule] = field(default_factory=list)
    """The rows of ``rules.safetensors``, in order; none where the adapter tells toxic from safe only."""
    constitution: Sha256 | None = None
    """SHA-256 of the constitution whose rules these are."""
    metrics: dict[str, Any] = field(default_factory=dict)
    created: str
    """When it was pinned, RFC 3339."""
    modq: str
    """The version of modq that pinned it."""
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter(_Pin):
    """A pinned adapter whose files were found to be the pinned ones."""

    folder: Path
    id: str
    """Its name and the first 12 digits of the hash of ``adapter.json``, which pins all the rest; verdicts store it."""

    @property
    def temperature(self) -> float:
        return self.calibration.get("temperature", 1.0)

    @property
    def has_tokenizer(self) -> bool:
        """Whether the folder brings its tokenizer; else the base model's is used."""
        return "tokenizer.json" in self.files or "tokenizer.model" in self.files or "vocab.txt" in self.files


_PINS: Final = TypeAdapter(_Pin)


def load_adapter(folder: Path) -> Adapter:
    """Read ``folder`` and check that every file in it is the pinned one. Loads no weights.

    Raises:
        AdapterRefused: not pinned, unknown version, a file is missing, altered or not pinned, weights in pickle
            format, code of its own (``auto_map``), or no trained classification head.
    """
    raw = _read(folder, PIN, f"is not pinned: it has no {PIN} (modq adapters import makes one)")
    pin = _parse(folder, raw)
    _refuse_what_runs(folder)
    _check_files(folder, pin.files)
    _check_peft(folder)
    values = {name: getattr(pin, name) for name in _Pin.__dataclass_fields__}
    return Adapter(folder=folder, id=f"{pin.name}@{hashlib.sha256(raw).hexdigest()[:12]}", **values)


def pin_adapter(
    folder: Path,
    *,
    base: str,
    revision: str,
    base_folder: Path,
    name: str | None = None,
    registry_package: str | None = None,
    max_length: int = 256,
    threshold: float = 0.5,
    temperature: float = 1.0,
    rules: Sequence[Rule] = (),
    constitution: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Adapter:
    """Write ``adapter.json`` into a folder that PEFT wrote, whose base model lies in ``base_folder``.

    Touches no other file. Repeating it replaces ``adapter.json``, whose new time gives the adapter a new id.

    Raises:
        AdapterRefused: as ``load_adapter``, or ``base_folder`` holds no safetensors weights.
    """
    _refuse_what_runs(folder)
    _check_peft(folder)
    pin = {
        "version": FORMAT_VERSION,
        "name": name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._") or "adapter",
        "base": asdict(Base(base, revision, hash_weights(base_folder), registry_package)),
        "files": {file.name: sha256_of(file) for file in _loadable(folder)},
        "labels": LABELS,
        "max_length": max_length,
        "threshold": threshold,
        "calibration": {"temperature": temperature},
        "rules": [asdict(rule) for rule in rules],
        "constitution": constitution,
        "metrics": dict(metrics or {}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "modq": version("modq"),
        "recipe": dict(recipe or {}),
    }
    raw = json.dumps(pin, indent=2, ensure_ascii=False).encode() + b"\n"
    _parse(folder, raw)
    (folder / PIN).write_bytes(raw)
    return load_adapter(folder)


def hash_weights(base_folder: Path) -> dict[str, str]:
    """SHA-256 by name of the weights files that transformers would load from ``base_folder``.

    Raises:
        AdapterRefused: there are none in safetensors format, or a shard is missing.
    """
    whole, index = base_folder / "model.safetensors", base_folder / "model.safetensors.index.json"
    if whole.is_file():
        return {whole.name: sha256_of(whole)}
    if not index.is_file():
        raise AdapterRefused(f"{base_folder} holds no weights in safetensors format.")
    shards = set(json.loads(index.read_bytes())["weight_map"].values())
    if absent := [shard for shard in shards if not (base_folder / shard).is_file()]:
        raise AdapterRefused(f"{base_folder} lacks {len(absent)} of the {len(shards)} files that its index names.")
    return {file.name: sha256_of(file) for file in (index, *(base_folder / shard for shard in sorted(shards)))}


def shipped_adapter() -> Path:
    """The folder of the adapter that ships with modq: in the wheel, else in the checkout."""
    here = Path(__file__).resolve().parent
    places = (here / "shipped/adapters/default", here.parents[1] / "adapters/default")
    for place in places:
        if (place / PIN).is_file():
            return place
    raise AdapterRefused("This installation of modq ships no adapter; name one with MODQ_ADAPTER or --adapter.")


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _parse(folder: Path, raw: bytes) -> _Pin:
    try:
        found = json.loads(raw).get("version")
    except (ValueError, AttributeError, RecursionError):
        raise AdapterRefused(f"{folder / PIN} is not a JSON object.") from None
    if found != FORMAT_VERSION:
        raise AdapterRefused(f"{folder / PIN} has version {found!r}, and this modq reads version {FORMAT_VERSION} only.")
    try:
        pin = _PINS.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise AdapterRefused(f"{folder / PIN}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if pin.labels != LABELS:
        raise AdapterRefused(f"{folder / PIN}: the labels must be 0 = safe and 1 = toxic.")
    if not {CONFIG, WEIGHTS} <= pin.files.keys():
        raise AdapterRefused(f"{folder / PIN} must pin {CONFIG} and {WEIGHTS}.")
    if bool(pin.rules) != (RULES in pin.files):
        raise AdapterRefused(f"{folder / PIN} must either name rules and pin {RULES}, or do neither.")
    return pin


def _refuse_what_runs(folder: Path) -> None:
    """Pickled weights run code when they are read, and ``auto_map`` names a Python file to import."""
    for file in folder.iterdir():
        if file.suffix.lower() in _PICKLES and file.name not in _NEVER_OPENED:
            raise AdapterRefused(f"{folder} holds {file.name}: pickled weights can run code, only safetensors are loaded.")
        if file.suffix == ".json" and "auto_map" in _read_json(file):
            raise AdapterRefused(f"{folder} wants to run its own code (auto_map in {file.name}), which modq never does.")


def _check_files(folder: Path, pinned: Mapping[str, str]) -> None:
    for name, expected in pinned.items():
        if not (folder / name).is_file():
            raise AdapterRefused(f"{folder} lacks {name}, which its {PIN} names.")
        if sha256_of(folder / name) != expected:
            raise AdapterRefused(f"{folder}: {name} is not the file that {PIN} pins: its sha256 differs.")
    if strangers := [file.name for file in _loadable(folder) if file.name not in pinned]:
        raise AdapterRefused(f"{folder} holds {strangers[0]}, which its {PIN} does not pin.")


def _check_peft(folder: Path) -> None:
    config = _read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if config.get("peft_type") != "LORA" or config.get("task_type") not in ("SEQ_CLS", None):
        raise AdapterRefused(f"{folder} is no LoRA adapter for sequence classification as PEFT saves it.")
    # PEFT would import whatever module the Megatron setting names.
    if config.get("megatron_config"):
        raise AdapterRefused(f"{folder} wants to run its own code (megatron_config in {CONFIG}), which modq never does.")
    if not (folder / WEIGHTS).is_file():
        raise AdapterRefused(f"{folder} lacks {WEIGHTS}.")
    if not any(_HEADS.search(name) for name in tensor_names(folder / WEIGHTS)):
        raise AdapterRefused(f"{folder}: {WEIGHTS} holds no trained classification head, so its scores would be noise.")


def tensor_names(file: Path) -> list[str]:
    """The names of the tensors in a safetensors file, read from its header."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(size, 100_000_000)))
        return [name for name in header if name != "__metadata__"]
    except (ValueError, TypeError, RecursionError):
        raise AdapterRefused(f"{file} is not a safetensors file.") from None


def _loadable(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in _LOADABLE and file.name != PIN and file.is_file())


def _read(folder: Path, name: str, complaint: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError:
        raise AdapterRefused(f"{folder} {complaint if folder.is_dir() else 'is not a folder'}.") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise AdapterRefused(f"{file} is not JSON.") from None
    return content if isinstance(content, dict) else {}

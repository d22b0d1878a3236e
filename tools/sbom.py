#!/usr/bin/env python3
"""Write the bill of materials of this environment, CycloneDX 1.6 in JSON: .venv/bin/python tools/sbom.py sbom.json.

It lists every distribution that is installed, with version, licence and what needs it. Two runs in the same environment
write the same bytes; SOURCE_DATE_EPOCH gives it a date.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(words: Sequence[str] | None = None) -> int:
    """The status of cyclonedx-py, which checks what it writes against the schema."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", default="-", help="where to write it (default: standard output)")
    parser.add_argument("--python", default=sys.executable, help="another environment's Python, such as that of an image")
    arguments = parser.parse_args(words)
    what = ["environment", "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--spec-version", "1.6"]
    command = [sys.executable, "-m", "cyclonedx_py", *what, "--validate", "--output-file", arguments.file, arguments.python]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Look the pinned packages up in the OSV database of known vulnerabilities: .venv/bin/python tools/audit.py.

Fails on a vulnerability that tools/accepted-vulnerabilities.txt does not name with a reason. Where the database cannot
be reached it says so, and why, and does not fail: whoever works offline must not be stopped by it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OSV = "https://api.osv.dev/v1/query"
SECONDS = 120


class WrongList(Exception):
    """A line of the list of accepted vulnerabilities has no reason, or no date, or no sense."""


def main(words: Sequence[str] | None = None) -> int:
    """0: nothing known, or nobody to ask; 1: something is known, or the list is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt", help="the pins")
    parser.add_argument("--accepted", type=Path, default=ROOT / "tools/accepted-vulnerabilities.txt", help="what is accepted, and why")
    parser.add_argument("--osv-url", default=OSV, help="the database, or a mirror of it (default: %(default)s)")
    arguments = parser.parse_args(words)
    try:
        accepted = read_accepted(arguments.accepted.read_text(encoding="utf-8"), date.today())
    except WrongList as error:
        print(f"audit: {arguments.accepted.name}: {error}")
        return 1
    found, why_not = ask(arguments.constraints, arguments.osv_url)
    if found is None:
        print(f"audit: COULD NOT RUN, so nothing is known of vulnerabilities: {why_not}")
        return 0
    return tell(found, accepted)


def read_accepted(text: str, today: date) -> dict[str, str]:
    """The accepted vulnerabilities, each with its reason; a line is ``ID until YYYY-MM-DD: reason``, and ends on that day."""
    accepted = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        head, _, reason = line.partition(":")
        words = head.split()
        try:
            id, until, day = words
            if until != "until" or not reason.strip():
                raise ValueError
            if date.fromisoformat(day) >= today:
                accepted[id] = reason.strip()
        except ValueError:
            raise WrongList(f"line {number} must look like: GHSA-... until 2027-01-31: the reason") from None
    return accepted


def ask(constraints: Path, url: str) -> tuple[list[dict[str, Any]] | None, str]:
    """What is known of each package, or None and why nobody could be asked."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip"]
    options = ["--vulnerability-service", "osv", "--osv-url", url, "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, f"the database did not answer within {SECONDS} s"
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return None, lines[-1] if lines else f"pip-audit ended with status {done.returncode}"


def tell(found: Sequence[Mapping[str, Any]], accepted: Mapping[str, str]) -> int:
    """Print what was found; 1 if any of it is not accepted."""
    asked = [package for package in found if "vulns" in package]
    if not asked:
        reasons = sorted({package.get("skip_reason", "no reason given") for package in found})
        print(f"audit: COULD NOT RUN, so nothing is known of vulnerabilities: {reasons[0] if reasons else 'there are no pins'}")
        return 0
    bad = 0
    for package in asked:
        for vulnerability in package["vulns"]:
            names = {vulnerability["id"], *vulnerability.get("aliases", ())}
            reason = next((accepted[name] for name in names if name in accepted), None)
            mended = ", ".join(vulnerability.get("fix_versions", ())) or "none yet"
            print(f"audit: {package['name']} {package['version']}: {', '.join(sorted(names))} (mended in: {mended})")
            print(f"       accepted: {reason}" if reason else "       NOT ACCEPTED: update the pin, or accept it with a reason")
            bad += reason is None
    left_out = [package["name"] for package in found if "vulns" not in package]
    print(f"audit: {len(asked)} packages looked up, {bad} vulnerabilities to see to." + (f" Not looked up: {', '.join(left_out)}." if left_out else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""What every benchmark is asked and answers: its options, the table it prints, and the JSON it writes."""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rounds import Spread, machine, write_json


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table: what ours does, and, where there is one, what the yardstick does in the same rounds."""

    what: str
    unit: str
    ours: Spread
    yardstick: Spread | None = None
    times: Spread | None = None
    """Ours against the yardstick, round against round: how many times better."""
    headline: bool = False
    """Whether the README tells it; it tells whatever has a yardstick."""


def options(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each way is measured, in turn (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured to FILE")
    parser.add_argument("--smoke", action="store_true", help="a few posts only: whether the benchmark does its work, not how fast")
    return parser


def report(name: str, findings: Sequence[Finding], chosen: argparse.Namespace, **more: Any) -> None:
    """Print the findings, and write them where ``--json`` says."""
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        against = f"   yardstick {finding.yardstick}   {finding.times} times" if finding.times else ""
        print(f"{finding.what:<{width}}  {finding.ours} {finding.unit}{against}")
    if chosen.json:
        write_json(chosen.json, _facts(name, findings, chosen, more))


def _facts(name: str, findings: Sequence[Finding], chosen: argparse.Namespace, more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        # Of the last 15 minutes: what else the machine did, which changes times far more than ratios of CPU.
        "load": os.getloadavg()[2],
        "rounds": chosen.rounds,
        "smoke": chosen.smoke,
        "findings": [{field.name: getattr(finding, field.name) for field in fields(Finding)} for finding in findings],
        **more,
    }

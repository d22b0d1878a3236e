"""Turns what the benchmarks wrote into the README's table and one plot: python benchmarks/render.py.

Reads benchmarks/results/*.json, as every benchmark writes by --json; writes between the two marks in README.md, and
benchmarks/results/times.svg.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
BEGIN: Final = "<!-- benchmarks: written by benchmarks/render.py -->"
END: Final = "<!-- benchmarks end -->"

Finding = Mapping[str, Any]


def main() -> None:
    """Write both, or with ``--check`` say whether both are as they would be written."""
    parser = argparse.ArgumentParser(description="Write the README's table and the plot from benchmarks/results.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files (default: benchmarks/results)")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="file with the two marks (default: README.md)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is out of date")
    chosen = parser.parse_args()
    results = [json.loads(file.read_text()) for file in sorted(chosen.results.glob("*.json"))]
    if any(result.get("smoke") for result in results):
        sys.exit("a smoke run measures nothing: take its file away, or run the benchmark without --smoke")
    if not results:
        sys.exit(f"there is no result in {chosen.results}; run a benchmark with --json first")
    wanted = {chosen.readme: put_between(chosen.readme.read_text(), table(results)), chosen.results / "times.svg": plot(compared(results))}
    old = [file for file, content in wanted.items() if not file.exists() or file.read_text() != content]
    if chosen.check:
        sys.exit(f"out of date, run benchmarks/render.py: {', '.join(map(str, old))}" if old else 0)
    for file in old:
        file.write_text(wanted[file])


def put_between(page: str, content: str) -> str:
    """The page, with the content between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"the page has no place for the table: it needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """One row for each finding of note, its benchmark's command beside it."""
    lines = ["| what | measured | the yardstick | times (spread) | by |", "| --- | --: | --: | --: | --- |"]
    for result in results:
        for finding in headlines(result):
            against = [f"{number(finding['yardstick']['median'])}" if finding.get("yardstick") else "", spread(finding.get("times"))]
            measured = f"{number(finding['ours']['median'])} {finding['unit']}"
            lines.append(f"| {finding['what']} | {measured} | {against[0]} | {against[1]} | `benchmarks/{result['benchmark']}.py` |")
    machines = sorted({told_machine(result) for result in results})
    return "\n".join([*lines, "", f"Medians, measured on: {'; '.join(machines)}. Ratios travel to other machines, absolute figures do not."])


def told_machine(result: Mapping[str, Any]) -> str:
    """The machine in words."""
    machine = result["machine"]
    return f"{machine['processor']}, {machine['cores']} cores, {', '.join(machine['instructions'])}"


def number(value: float) -> str:
    """Three digits, and no more of them than were measured."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def spread(times: Mapping[str, float] | None) -> str:
    """The median, and from where to where."""
    return f"**{number(times['median'])}** ({number(times['min'])} to {number(times['max'])})" if times else ""


def compared(results: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The findings that have a yardstick."""
    return [finding for result in results for finding in headlines(result) if finding.get("times")]


def headlines(result: Mapping[str, Any]) -> list[Finding]:
    """What has a yardstick, or was marked by its benchmark."""
    return [finding for finding in result.get("findings", []) if finding.get("times") or finding.get("headline")]


# The plot

_WIDTH, _LEFT, _ROW, _TOP = 860, 330, 30, 46


def plot(findings: Sequence[Finding]) -> str:
    """Bars on a logarithmic scale: how many times the yardstick, with a line from the worst round to the best."""
    most = max((finding["times"]["max"] for finding in findings), default=10.0)
    decades = max(1, math.ceil(math.log10(most)))
    height = _TOP + _ROW * len(findings) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="12" y="24" font-size="15">Times the yardstick, per second of CPU (logarithmic)</text>',
        *_grid(decades, height),
    ]
    for index, finding in enumerate(findings):
        lines += _bar(finding, _TOP + _ROW * index, decades)
    return "\n".join([*lines, "</svg>", ""])


def _grid(decades: int, height: int) -> Iterator[str]:
    for decade in range(decades + 1):
        x = _x(10**decade, decades)
        yield f'<line x1="{x:.0f}" y1="{_TOP - 6}" x2="{x:.0f}" y2="{height - 24}" stroke="#ddd"/>'
        yield f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle" fill="#555">{10**decade}</text>'


def _bar(finding: Finding, top: int, decades: int) -> Iterator[str]:
    times = finding["times"]
    zero, end = _x(1, decades), _x(times["median"], decades)
    middle = top + 9
    yield f'<text x="{_LEFT - 10}" y="{top + 14}" text-anchor="end">{escape(finding["what"])}</text>'
    yield f'<rect x="{min(zero, end):.1f}" y="{top}" width="{abs(end - zero):.1f}" height="18" fill="#3b6ea5"/>'
    yield f'<line x1="{_x(times["min"], decades):.1f}" y1="{middle}" x2="{_x(times["max"], decades):.1f}" y2="{middle}" stroke="#111"/>'
    yield f'<text x="{_x(max(times["max"], 1), decades) + 6:.1f}" y="{top + 14}">{number(times["median"])}</text>'


def _x(times: float, decades: int) -> float:
    return _LEFT + max(0.0, math.log10(max(times, 1.0))) / decades * (_WIDTH - _LEFT - 70)


if __name__ == "__main__":
    main()

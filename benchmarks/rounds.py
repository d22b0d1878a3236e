"""Measures ways of doing the same work in turn, round by round, so that a machine's moods touch all of them alike."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Way = Callable[[], int]
"""Does some work, and returns how much of it: posts, rows, tokens."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a way took."""

    done: int
    cpu_seconds: float
    wall_seconds: float

    @property
    def per_cpu_second(self) -> float:
        """How much was done in a second of CPU."""
        return self.done / self.cpu_seconds

    @property
    def per_second(self) -> float:
        """How much was done in a second of the clock."""
        return self.done / self.wall_seconds


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure measured in every round: its median, and how far the rounds lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one value a round."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:,.3g} ({self.least:,.3g} to {self.most:,.3g})"


def in_turn(ways: Mapping[str, Way], rounds: int, cpu_clock: Callable[[], float] = time.process_time) -> dict[str, list[Cost]]:
    """Run every way once a round, each round in the opposite order of the last; the costs of each, a round each.

    Args:
        cpu_clock: CPU seconds so far; by default this process's. Whoever measures other processes gives a clock of those.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else reversed(ways):
            cpu, wall = cpu_clock(), time.perf_counter()
            done = ways[name]()
            costs[name].append(Cost(done, cpu_clock() - cpu, time.perf_counter() - wall))
    return costs


def ratio(ours: Sequence[Cost], yardstick: Sequence[Cost]) -> Spread:
    """How many times the yardstick ours does in a second of CPU, round against round."""
    return Spread.of([mine.per_cpu_second / its.per_cpu_second for mine, its in zip(ours, yardstick, strict=True)])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set[str]())
    fast = sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"})
    return {"processor": processor, "instructions": fast, "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def write_json(file: Path, facts: Mapping[str, Any]) -> None:
    """Write what was measured, for other programs to read."""
    file.write_text(json.dumps(facts, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, Spread):
        return {"median": value.median, "min": value.least, "max": value.most}
    raise TypeError(f"{type(value).__name__} is not for JSON")

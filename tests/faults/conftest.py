"""Worlds for the fault tests, and the table of what became of every post in them."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.faults.account import Account
from tests.faults.targets import AFTER_AN_OUTAGE, POSTS, RATE, TO_THE_SITE
from tests.faults.world import ROOT, World

Balance = Callable[..., Account]

ROWS: list[tuple[str, Account, float]] = []
BEGAN = time.monotonic()
TABLE = ROOT / "docs" / "faults.md"


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., AbstractContextManager[World]]:
    """A world in a folder of the test's own."""

    @contextmanager
    def make(**options: object) -> Iterator[World]:
        with World(tmp_path, **options) as world:  # type: ignore[arg-type]
            yield world

    return make


@pytest.fixture
def balance() -> Balance:
    """Close the account of a world: nothing lost, nothing doubled, nobody untold, and recovered in time."""

    def balance(world: World, *, fault: str, outage: float = 0, within: float, dead_letters: int = 0) -> Account:
        account = world.account(seconds=outage + within + 60)
        recovery = max(0.0, account.worst_seconds - outage)
        ROWS.append((fault, account, recovery))
        assert (account.lost, account.doubled, account.unexpected) == (0, 0, 0), account
        assert account.confirmed == account.verdicts + account.dead_letters, account
        assert account.dead_letters == dead_letters, account
        assert account.told == account.toxic, account
        assert account.ids_per_verdict <= 1, account
        assert recovery <= within, f"recovered {recovery:.1f} s after the fault, not within {within} s"
        assert account.worst_told_seconds <= outage + within + TO_THE_SITE, account
        return account

    return balance


@pytest.fixture
def busy_world(make_world, balance: Balance) -> Callable[..., AbstractContextManager[World]]:
    """A world to whose queue posts are being published: in the `with` block the fault befalls it, at its end the account must balance."""

    @contextmanager
    def busy(fault: str, *, posts: int = POSTS, outage: float = 0, within: float = AFTER_AN_OUTAGE, lead: float = 2, **options: object) -> Iterator[World]:
        with make_world(**options) as world:
            producer = world.produce(posts, RATE)
            time.sleep(lead)
            yield world
            producer.wait()
            balance(world, fault=fault, outage=outage, within=within)

    return busy


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """What a random mix is made of: that of `--faults-seed`, else a new one."""
    given = pytestconfig.getoption("--faults-seed")
    return random.randrange(1_000_000) if given is None else int(given)


HEADER = (
    "| fault | confirmed | verdicts | dead letters | lost | doubled | toxic | told by webhook | worst latency, s | worst s to the webhook |",
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not ROWS:
        return
    rows = [
        f"| {fault} | {a.confirmed:,} | {a.verdicts:,} | {a.dead_letters} | {a.lost} | {a.doubled} | {a.toxic:,} | {a.told:,} "
        f"| {recovery:.1f} | {a.worst_told_seconds:.1f} |"
        for fault, a, recovery in ROWS
    ]
    terminalreporter.section("what became of every post")
    for line in (*HEADER, *rows, f"{len(rows)} faults in {(time.monotonic() - BEGAN) / 60:.0f} minutes"):
        terminalreporter.write_line(line)
    if config.getoption("--write-faults"):
        TABLE.write_text((ROOT / "tests/faults/preface.md").read_text() + "\n" + "\n".join((*HEADER, *_merged(rows))) + "\n")


def _merged(rows: list[str]) -> list[str]:
    """The rows that the page has, with those of this run in their places: a fault can be tried again by itself."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    known = {_kind(line): line for line in lines if line.startswith("| ") and line not in HEADER}
    return list((known | {_kind(row): row for row in rows}).values())


def _kind(row: str) -> str:
    """Which fault a row is about, whatever its seed."""
    return re.sub(r"mix of .*", "mix", row.split("|")[1].strip())

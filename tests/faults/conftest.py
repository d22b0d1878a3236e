"""Worlds for the fault tests, and the table of what became of every post in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.faults.world import ROOT, Account, World

Balance = Callable[..., Account]

ROWS: list[tuple[str, Account, float]] = []
TABLE = ROOT / "docs" / "faults.md"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-faults", action="store_true", help="write docs/faults.md from this run")


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., AbstractContextManager[World]]:
    """A world in a folder of the test's own."""

    @contextmanager
    def make(**options: object) -> Iterator[World]:
        with World(tmp_path, **options) as world:  # type: ignore[arg-type]
            yield world

    return make


@pytest.fixture
def balance(request: pytest.FixtureRequest) -> Balance:
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
        return account

    return balance


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not ROWS:
        return
    lines = [
        "| fault | confirmed | verdicts | dead letters | lost | doubled | toxic | told by webhook | worst s after the fault |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for fault, a, recovery in ROWS:
        lines.append(
            f"| {fault} | {a.confirmed:,} | {a.verdicts:,} | {a.dead_letters} | {a.lost} | {a.doubled} | {a.toxic:,} | {a.told:,} | {recovery:.1f} |"
        )
    terminalreporter.section("what became of every post")
    for line in lines:
        terminalreporter.write_line(line)
    if config.getoption("--write-faults"):
        TABLE.write_text((ROOT / "tests/faults/preface.md").read_text() + "\n" + "\n".join(lines) + "\n")

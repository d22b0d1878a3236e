"""The clocks of servers, workers, notifier and producer jump together; only how long something took is measured wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.faults.targets import AFTER_A_WORKER_DIED, AFTER_AN_OUTAGE, RATE, TO_THE_SITE

pytestmark = [pytest.mark.faults, pytest.mark.faults_long]

HOUR = 3600


@pytest.fixture
def set_clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the clock of every process that is started from now on so many seconds off, while they run."""
    spec = find_spec("libfaketime")
    assert spec is not None, "libfaketime is installed on Linux on x86_64 only, and this test runs there only"
    assert spec.submodule_search_locations is not None
    offset = tmp_path / "clock"
    # Monotonic clocks never jump, so they are left alone.
    monkeypatch.setenv("LD_PRELOAD", str(Path(spec.submodule_search_locations[0]) / "vendor/libfaketime/src/libfaketime.so.1"))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
    monkeypatch.setenv("FAKETIME_CACHE_DURATION", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("FAKETIME_DISABLE_SHM", "1")

    def set_clocks(seconds: int) -> None:
        offset.write_text(f"{seconds:+d}\n")

    set_clocks(0)
    return set_clocks


def test_clocks_jump_forth_and_back(set_clocks: Callable[[int], None], make_world, balance) -> None:
    with make_world() as world:
        # The site's clock stays right.
        world.site.tolerance = 2 * HOUR
        producer = world.produce(1000, RATE)
        time.sleep(2.5)
        set_clocks(HOUR)
        producer.wait()
        world.account(AFTER_AN_OUTAGE + TO_THE_SITE)
        # Back by two hours while nothing is due: what Postgres was told to do at a time, it does at that time.
        set_clocks(-HOUR)
        time.sleep(2)
        assert abs(float(world.one("SELECT extract(epoch FROM clock_timestamp())")) - time.time() + HOUR) < 60
        producer = world.produce(1000, RATE)
        time.sleep(2.5)
        world.kill_workers(0)
        producer.wait()
        world.account(AFTER_A_WORKER_DIED + TO_THE_SITE)
        # Seen to fail when the time of the last look for dead workers is the clock's: for two hours nobody looks again.
        balance(world, fault="all clocks an hour forth, then two back, then kill -9 of a worker", outage=HOUR, within=AFTER_A_WORKER_DIED)

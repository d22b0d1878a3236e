"""The client is light: a web process that imports it gets redis-py at most, and only once it publishes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"celery", "kombu", "torch", "transformers", "sqlalchemy", "pydantic", "numpy", "modq_worker", "modq_training"}


def modules_after(code: str) -> set[str]:
    told = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in told.stdout.split()}


def test_import_modq_loads_the_standard_library_only() -> None:
    assert not modules_after("import modq; modq.Post, modq.open_flag") & (HEAVY | {"redis", "asyncio", "ssl"})


@pytest.mark.parametrize("name", ["Producer", "AsyncProducer"])
def test_a_producer_loads_redis_and_nothing_heavier(name: str) -> None:
    modules = modules_after(f"from modq import {name}")

    assert "redis" in modules
    assert not modules & HEAVY


def test_the_command_line_loads_no_worker_to_submit() -> None:
    assert not modules_after("import modq.cli, modq.commands.submit") & HEAVY


def test_every_name_that_modq_offers_is_there() -> None:
    import modq

    assert all(getattr(modq, name) is not None for name in modq.__all__)
    with pytest.raises(AttributeError):
        modq.Nothing  # noqa: B018

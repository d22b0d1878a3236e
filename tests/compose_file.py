"""docker-compose.yml as Docker Compose would read it, for tests on machines without Docker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?\})")


class Missing(Exception):
    """A variable that must be set is not; the message is the file's own."""


def raw(name: str = "docker-compose.yml") -> dict[str, Any]:
    """The file with its variables as they stand."""
    read: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return read


def rendered(environment: Mapping[str, str], name: str = "docker-compose.yml") -> dict[str, Any]:
    """The file with its variables replaced.

    Raises:
        Missing: a variable that the file cannot do without.
    """
    read: dict[str, Any] = _render(raw(name), environment)
    return read


def _render(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _render(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_render(each, environment) for each in value]
    return _VARIABLE.sub(lambda found: _replace(found, environment), value) if isinstance(value, str) else value


def _replace(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    if (value := environment.get(found["name"], "")) or found["operator"] is None:
        return value
    if found["operator"] == ":?":
        raise Missing(f"{found['name']}: {found['rest']}")
    return found["rest"] or ""

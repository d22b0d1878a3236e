"""The references in docs/ say what the code says, and every command can be found and explains itself."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from modq.cli import COMMANDS, Command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "commands.md"])
def test_a_reference_is_up_to_date(generate: ModuleType, name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == generate.pages()[name], "run: python docs/generate.py"


def test_no_setting_is_without_a_description(generate: ModuleType) -> None:
    assert [name for name, field in generate.Settings.model_fields.items() if not field.description] == []


def test_the_reference_of_settings_names_every_one_once(generate: ModuleType) -> None:
    page = generate.pages()["settings.md"]
    assert {name: page.count(f"| `MODQ_{name.upper()}` |") for name in generate.Settings.model_fields} == dict.fromkeys(
        generate.Settings.model_fields, 1
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_says_what_each_of_its_arguments_is_for(command: Command) -> None:
    parser = argparse.ArgumentParser(prog=command.name)
    importlib.import_module(command.module).add_arguments(parser)
    assert [f"{each.prog} {action.dest}" for each, action in _arguments(parser) if not action.help] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_shows_its_help_without_loading_a_model(command: Command) -> None:
    heavy = "sys.exit(sorted({'torch', 'transformers', 'peft', 'sklearn'} & set(sys.modules)) or 0)"
    script = f"import sys\nfrom modq.cli import main\ntry: main([{command.name!r}, '--help'])\nexcept SystemExit: pass\n{heavy}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: modq {command.name}" in done.stdout


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _arguments(child)
        else:
            yield parser, action

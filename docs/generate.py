"""Writes the two references of this folder, settings.md and commands.md, from the code: python docs/generate.py."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from modq.cli import COMMANDS, Command
from modq_worker.settings import Settings

HERE: Final = Path(__file__).parent
_WRITTEN_BY: Final = "<!-- Written by docs/generate.py; to change it, change {source} and run: python docs/generate.py -->\n"
_TYPES: Final = {"int": "whole number", "float": "number", "bool": "true or false", "Path": "path", "str": "text", "SecretStr": "text, kept out of logs"}
_BOUNDS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def main() -> None:
    """Write both."""
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each generated page, by its file name."""
    return {"settings.md": "\n".join(_settings_page()), "commands.md": "\n".join(_commands_page())}


# Settings


def _settings_page() -> Iterator[str]:
    yield _WRITTEN_BY.format(source="worker/modq_worker/settings.py")
    yield "# Settings\n"
    yield "Every process of modq reads its settings from environment variables when it starts, and from nowhere else."
    yield "The light client has few: its connection is an argument of `Producer`, or `MODQ_REDIS_URL`, `MODQ_REDIS_URL_FILE` and"
    yield "`MODQ_REDIS_CA_FILE` as below. A password belongs into one of these, never into an argument that every user of a machine can read.\n"
    for heading, names in _sections():
        yield f"## {heading}\n"
        yield "| variable | value | default | what it does |\n| --- | --- | --- | --- |"
        yield from (_setting(name, Settings.model_fields[name]) for name in names)
        yield ""


def _sections() -> Iterator[tuple[str, list[str]]]:
    """The settings under the comment that stands above them in the code."""
    heading, names = "Settings", list[str]()
    for line in inspect.getsource(Settings).splitlines():
        if comment := re.match(r"    # (.+)", line):
            if names:
                yield heading, names
            heading, names = comment[1], []
        elif (field := re.match(r"    (\w+): ", line)) and field[1] in Settings.model_fields:
            names.append(field[1])
    yield heading, names


def _setting(name: str, field: FieldInfo) -> str:
    default = "" if field.default is None else f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
    return f"| `MODQ_{name.upper()}` | {_value(field)} | {default} | {_cell(field.description or '')} |"


def _value(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if isinstance(kind, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(kind))
    limits = [f"{sign} {getattr(bound, name)}" for bound in field.metadata for name, sign in _BOUNDS.items() if hasattr(bound, name)]
    return ", ".join([_TYPES.get(kind.__name__, kind.__name__), *limits])


# Commands


def _commands_page() -> Iterator[str]:
    yield _WRITTEN_BY.format(source="the command's module")
    yield "# Commands\n"
    yield "`modq COMMAND --help` says the same. Exit status: 0 done, 1 an error that was told in a sentence, 2 wrong usage,"
    yield "130 interrupted.\n"
    for command in COMMANDS:
        yield from _command(command)


def _command(command: Command) -> Iterator[str]:
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(prog=f"modq {command.name}", description=(module.__doc__ or command.help).splitlines()[0])
    module.add_arguments(parser)
    yield f"## modq {command.name}\n"
    yield f"{_capital(command.help)}." + (f" Needs `modq[{command.extra}]`." if command.extra else "") + "\n"
    yield from _parser(parser)


def _parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    arguments = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    below = [action for action in arguments if isinstance(action, argparse._SubParsersAction)]
    plain = [action for action in arguments if action not in below and not isinstance(action, argparse._HelpAction)]
    if plain:
        yield "| argument | meaning |\n| --- | --- |"
        yield from (f"| {_argument(action)} | {_cell(_meaning(parser, action))} |" for action in plain)
        yield ""
    for group in below:
        helps = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, child in group.choices.items():
            yield f"### {child.prog}\n"
            yield f"{_capital(helps.get(name, '') or child.description or '').rstrip('.')}.\n"
            yield from _parser(child)


def _argument(action: argparse.Action) -> str:
    value = _placeholder(action)
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{option} {value}`" if value else f"`{option}`" for option in action.option_strings)


def _placeholder(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    default = action.dest.upper()
    name = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ()) or default
    return f"{name}..." if action.nargs in ("*", "+") else name


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    meaning = (action.help or "") % {**vars(action), "prog": parser.prog}
    if action.choices and action.metavar is None:
        meaning = f"{_words([str(choice) for choice in action.choices])}: {meaning}"
    # A default may hold the name of the machine that wrote this page.
    return meaning.replace(socket.gethostname(), "HOSTNAME")


def _words(words: Sequence[str]) -> str:
    return " or ".join(f"`{word}`" for word in words)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    main()

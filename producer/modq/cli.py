"""The command line: one table of commands, each loaded only when it is called."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from modq.errors import MissingExtra, ModqError


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand; its module has ``add_arguments(parser)`` and ``run(arguments) -> int | None``."""

    name: str
    module: str
    help: str
    extra: str | None = None
    """The extra whose packages it needs, and ``needs``, one of those packages, to tell whether they are here."""
    needs: str | None = None


def _worker(name: str, module: str, help: str) -> Command:
    return Command(name, f"modq_worker.commands.{module}", help, extra="worker", needs="celery")


def _train(name: str, module: str, help: str) -> Command:
    return Command(name, f"modq_training.commands.{module}", help, extra="train", needs="sklearn")


COMMANDS = (
    Command("submit", "modq.commands.submit", "publish posts, from an argument, standard input or a file"),
    _worker("demo", "demo", "see the whole of modq at work, on servers of its own"),
    _worker("up", "up", "run the whole stack in this folder, for development"),
    _worker("work", "work", "run a worker"),
    _worker("notify", "notify", "run the notifier, which sends the webhooks"),
    _worker("migrate", "migrate", "build or update the tables of the store"),
    _worker("verdicts", "verdicts", "list, filter and show verdicts"),
    _worker("dead-letters", "dead_letters", "list, show and replay what could not be judged"),
    _worker("erase", "erase", "erase an author's, a post's or a source's content everywhere, and print a receipt"),
    _worker("expire", "expire", "drop the texts that are older than MODQ_TEXT_DAYS; for cron"),
    _worker("endpoints", "endpoints", "add, list, test and remove the endpoints that are told of verdicts"),
    _worker("classify", "classify", "score a text or a file, without any server"),
    _worker("adapters", "adapters", "import, show and check adapters"),
    _worker("backbone", "backbone", "fetch and check the base model"),
    _train("constitution", "constitution", "show the rules of the constitution, check one, print its hash"),
    _train("write-examples", "write_examples", "write labelled examples from the constitution"),
    _train("red-team", "red_team", "search for texts that an adapter judges wrongly"),
    _train("fine-tune", "fine_tune", "train an adapter on labelled texts"),
    _train("evaluate", "evaluate", "measure an adapter and write its model card"),
)


def parser() -> argparse.ArgumentParser:
    """The parser of every command, without the arguments of each: those come from its module when it is called."""
    root = argparse.ArgumentParser(prog="modq", description="Moderation worker: posts in by Redis, verdicts out by Postgres and webhooks.")
    root.add_argument("--version", action="version", version=f"modq {version('modq')}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        commands.add_parser(command.name, help=command.help, add_help=False)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 an error that was told in one sentence, 2 wrong usage, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # The root's own options and errors; what follows the command's name is for the command's parser.
    chosen = parser().parse_args(words[:1])
    command = next(c for c in COMMANDS if c.name == chosen.command)
    try:
        return _run(command, words[1:])
    except ModqError as error:
        print(f"modq {command.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left (as `| head` does); leave nothing for the interpreter to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(command: Command, words: Sequence[str]) -> int:
    if command.needs and importlib.util.find_spec(command.needs) is None:
        raise MissingExtra(f"this command needs more packages: pip install 'modq[{command.extra}]'")
    module = importlib.import_module(command.module)
    arguments = argparse.ArgumentParser(prog=f"modq {command.name}", description=(module.__doc__ or command.help).splitlines()[0])
    module.add_arguments(arguments)
    return module.run(arguments.parse_args(words)) or 0


if __name__ == "__main__":
    sys.exit(main())

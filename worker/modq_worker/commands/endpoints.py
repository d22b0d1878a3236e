"""Add, list, test and remove the endpoints that are told of verdicts."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from modq.errors import ModqError
from modq.signature import new_secret
from modq_worker.database import connected
from modq_worker.endpoints import DELIVERED_EVENTS, Endpoints, send_test
from modq_worker.listing import print_rows
from modq_worker.settings import settings


class SecretFileUnreadable(ModqError):
    """The file that should hold an endpoint's secret cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    adder = actions.add_parser("add", help="tell a URL of the verdicts stored from now on")
    adder.add_argument("url", metavar="URL", help="where the site receives webhooks")
    adder.add_argument("--source", help="only of this source's posts (default: every source's)")
    adder.add_argument("--events", default="post.flagged", help=f"comma-separated, of {' and '.join(DELIVERED_EVENTS)} (default: post.flagged)")
    # Never the secret itself: other users of the machine see a process's arguments.
    adder.add_argument("--secret-file", type=Path, metavar="FILE", help="file with the secret, whsec_...; without it one is made and printed")
    adder.set_defaults(does=_add)
    actions.add_parser("list", help="list the endpoints").set_defaults(does=_list)
    for name, does, explanation in (
        ("test", _test, "send a signed test event and tell the answer"),
        ("enable", _enable, "send to it again"),
        ("disable", _disable, "send nothing to it until it is enabled"),
        ("replay", _replay, "send again what failed for good"),
        ("remove", _remove, "forget it, and what it was not yet told"),
    ):
        action = actions.add_parser(name, help=explanation)
        action.add_argument("id", type=int, metavar="ID", help="the endpoint's number in the list")
        action.set_defaults(does=does)


def run(arguments: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    configured = settings()
    with connected(configured.database()) as engine:
        done: int = arguments.does(Endpoints(engine, allow_private=configured.allow_private_endpoints), arguments)
    return done


def _add(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    secret = _read_secret(arguments.secret_file) if arguments.secret_file else new_secret()
    events = [event.strip() for event in arguments.events.split(",")]
    added = endpoints.add(arguments.url, secret, source=arguments.source, events=events)
    print(f"Endpoint {added} is told of {', '.join(events)}.", file=sys.stderr)
    if not arguments.secret_file:
        print("Its secret, shown this once; give it to the receiver, whose open_flag(secret, headers, body) needs it:", file=sys.stderr)
        print(secret)
    return 0


def _read_secret(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileUnreadable(f"The secret cannot be read from {file} ({type(error).__name__}).") from None


def _list(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    rows = [
        (each.id, each.url, each.source, ",".join(each.events), "disabled" if each.disabled_at else "enabled", each.disabled_reason)
        for each in endpoints.all()
    ]
    print_rows(("ID", "URL", "SOURCE", "EVENTS", "STATE", "WHY"), rows, none="No endpoints. Add one with: modq endpoints add URL")
    return 0


def _test(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    configured = settings()
    test = send_test(endpoints.get(arguments.id), deadline=configured.webhook_deadline_seconds, allow_private=configured.allow_private_endpoints)
    answer = asyncio.run(test)
    if answer.status is not None and 200 <= answer.status < 300:
        print(f"The endpoint answered {answer.status}: it works.")
        return 0
    print(f"The test failed: {answer.error or f'the endpoint answered {answer.status}'}.", file=sys.stderr)
    return 1


def _enable(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    endpoints.enable(arguments.id)
    print(f"Endpoint {arguments.id} is enabled.")
    return 0


def _disable(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    endpoints.disable(arguments.id, "disabled by hand")
    print(f"Endpoint {arguments.id} is disabled.")
    return 0


def _replay(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    count = endpoints.replay(endpoints.get(arguments.id).id)
    print(f"{count} failed deliveries are due again.")
    return 0


def _remove(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    endpoints.remove(arguments.id)
    print(f"Endpoint {arguments.id} is removed.")
    return 0

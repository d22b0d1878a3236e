"""Add, list, test and remove the endpoints that are told of verdicts; rotate their secrets, and send events again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from modq.errors import ModqError
from modq.signature import new_secret
from modq_worker.database import connected
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import DELIVERED_EVENTS, Endpoint, Endpoints, send_test
from modq_worker.listing import print_rows
from modq_worker.replay import Selection
from modq_worker.secret_box import SecretBox, new_key
from modq_worker.settings import settings
from modq_worker.times import moment, span
from modq_worker.webhook import WebhookSender

_ID = "the endpoint's number in the list"


class SecretFileUnreadable(ModqError):
    """The file that should hold an endpoint's secret cannot be read."""


class NothingSelected(ModqError):
    """A replay would send every event there ever was."""


class NoSecretKey(ModqError):
    """There is no key to encrypt with."""


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
        ("drop-old", _drop_old, "end a rotation: sign with the newest secret only"),
        ("remove", _remove, "forget it, and what it was not yet told"),
    ):
        action = actions.add_parser(name, help=explanation)
        action.add_argument("id", type=int, metavar="ID", help=_ID)
        action.set_defaults(does=does)
    _add_rotate(actions)
    _add_replay(actions)
    actions.add_parser("new-key", help="print a new key for MODQ_SECRET_KEY").set_defaults(does=None)
    actions.add_parser("seal", help="encrypt every secret with the newest key of MODQ_SECRET_KEY").set_defaults(does=_seal)


def _add_rotate(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    action = actions.add_parser("rotate", help="sign with a new secret, and for a while with the old one as well")
    action.add_argument("id", type=int, metavar="ID", help=_ID)
    action.add_argument("--overlap", type=span, default="24h", metavar="SPAN", help="how long both sign (default: %(default)s)")
    action.add_argument("--secret-file", type=Path, metavar="FILE", help="file with the new secret, whsec_...; without it one is made and printed")
    action.set_defaults(does=_rotate)


def _add_replay(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    action = actions.add_parser("replay", help="send again now what failed, or waits for another attempt, under the same webhook-ids")
    action.add_argument("id", type=int, nargs="?", metavar="ID", help="only to this endpoint (default: to every one)")
    action.add_argument("--webhook-id", metavar="MSG", help="only the event of this webhook-id")
    action.add_argument("--since", type=moment, metavar="TIME", help="only of verdicts stored since: 90s, 15m, 2h, 7d ago or an ISO time")
    action.add_argument("--until", type=moment, metavar="TIME", help="only of verdicts stored before")
    action.add_argument("--delivered", action="store_true", help="what was delivered as well, for a receiver that lost it")
    action.set_defaults(does=_replay)


def run(arguments: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    if arguments.does is None:
        # Needs no store.
        print(new_key())
        return 0
    configured = settings()
    with connected(configured.database()) as engine:
        done: int = arguments.does(Endpoints(engine, EndpointRules.of(configured), SecretBox.of(configured)), arguments)
    return done


def _add(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    secret = _read_secret(arguments.secret_file) if arguments.secret_file else new_secret()
    events = [event.strip() for event in arguments.events.split(",")]
    added = endpoints.add(arguments.url, secret, source=arguments.source, events=events)
    print(f"Endpoint {added} is told of {', '.join(events)}.", file=sys.stderr)
    _warn_of_plain_secrets(endpoints)
    if not arguments.secret_file:
        print("Its secret, shown this once; give it to the receiver, whose open_flag(secret, headers, body) needs it:", file=sys.stderr)
        print(secret)
    return 0


def _warn_of_plain_secrets(endpoints: Endpoints) -> None:
    if not endpoints.sealing:
        print("Warning: without MODQ_SECRET_KEY its secret is kept in the store as it is, for whoever can read the store.", file=sys.stderr)


def _read_secret(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileUnreadable(f"The secret cannot be read from {file} ({type(error).__name__}).") from None


def _list(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    rows = [
        (each.id, each.url, each.source, ",".join(each.events), _state(each), each.disabled_reason)
        for each in endpoints.all()
    ]
    print_rows(("ID", "URL", "SOURCE", "EVENTS", "STATE", "WHY"), rows, none="No endpoints. Add one with: modq endpoints add URL")
    return 0


def _state(endpoint: Endpoint) -> str:
    if endpoint.disabled_at:
        return "disabled"
    return f"failing since {endpoint.failing_since:%Y-%m-%d %H:%M}" if endpoint.failing_since else "enabled"


def _test(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    endpoint, configured = endpoints.get(arguments.id), settings()
    sender = WebhookSender(
        deadline=configured.webhook_deadline_seconds,
        connections=1,
        rules=EndpointRules.of(configured),
        box=SecretBox.of(configured),
        ca_file=configured.webhook_ca_file,
    )
    answer = asyncio.run(send_test(endpoint, sender))
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
    if not (arguments.id or arguments.webhook_id or arguments.since):
        raise NothingSelected("Say what to send again: an endpoint's ID, --webhook-id or --since.")
    selection = Selection(arguments.id, arguments.webhook_id, arguments.since, arguments.until, arguments.delivered)
    if arguments.id and endpoints.get(arguments.id).disabled_at:
        print(f"Endpoint {arguments.id} is disabled; they go out when it is enabled.", file=sys.stderr)
    print(f"{endpoints.replay(selection)} deliveries are due again.")
    return 0


def _rotate(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    secret = _read_secret(arguments.secret_file) if arguments.secret_file else new_secret()
    endpoints.rotate(arguments.id, secret, arguments.overlap)
    until = datetime.now(UTC) + arguments.overlap
    print(f"Endpoint {arguments.id} gets both signatures until {until:%Y-%m-%d %H:%M} UTC, or until drop-old.", file=sys.stderr)
    _warn_of_plain_secrets(endpoints)
    if not arguments.secret_file:
        print("Its new secret, shown this once; give it to the receiver before then:", file=sys.stderr)
        print(secret)
    return 0


def _drop_old(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    endpoints.drop_old_secrets(arguments.id)
    print(f"Endpoint {arguments.id} is signed for with its newest secret only.")
    return 0


def _seal(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    if not endpoints.sealing:
        raise NoSecretKey("Set MODQ_SECRET_KEY or MODQ_SECRET_KEY_FILE to the key to encrypt with; modq endpoints new-key makes one.")
    print(f"The secrets of {endpoints.seal()} endpoints are encrypted with the newest key.")
    return 0


def _remove(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    endpoints.remove(arguments.id)
    print(f"Endpoint {arguments.id} is removed.")
    return 0

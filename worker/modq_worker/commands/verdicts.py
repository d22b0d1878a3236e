"""List, filter and show verdicts."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from modq.severity import SEVERITIES
from modq_worker.listing import print_rows
from modq_worker.reader import DeliveryReport, Filter, StoredVerdict, VerdictReader
from modq_worker.settings import settings
from modq_worker.times import moment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--label", choices=("safe", "toxic"), help="only these")
    parser.add_argument("--source", help="only of this source's posts")
    parser.add_argument("--since", type=moment, metavar="TIME", help="stored since then: 90s, 15m, 2h, 7d ago, or 2026-01-31T12:00:00Z")
    parser.add_argument("--min-score", type=float, metavar="SCORE", help="only with this score, 0 to 1, or a higher one")
    parser.add_argument("--min-severity", choices=SEVERITIES, help="only of posts that break a rule so grave, or a graver one")
    parser.add_argument("--adapter", help="only by the adapter of this name")
    parser.add_argument("--limit", type=_positive, default=100, help="at most so many, the newest (default: 100)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    actions = parser.add_subparsers(dest="action", metavar="show ID")
    shower = actions.add_parser("show", help="every verdict on every content of one post, with its deliveries")
    shower.add_argument("id", metavar="ID", help="the post's id, as its site published it")
    shower.add_argument("--source", dest="of_source", metavar="SOURCE", help="the post's source (default: default)")
    shower.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """List the verdicts in force, newest first, or show one post's."""
    with VerdictReader(settings().database()) as reader:
        return _show(reader, arguments) if arguments.action == "show" else _list(reader, arguments)


def _list(reader: VerdictReader, arguments: argparse.Namespace) -> int:
    wanted = Filter(
        label=arguments.label,
        source=arguments.source,
        adapter=arguments.adapter,
        since=arguments.since,
        min_score=arguments.min_score,
        min_severity=arguments.min_severity,
        limit=arguments.limit,
    )
    found = reader.find(wanted)
    if arguments.json:
        for verdict in found:
            print(_json(asdict(verdict)))
        return 0
    headings = ("STORED", "LABEL", "SCORE", "SEVERITY", "SOURCE", "POST", "LANE", "ADAPTER")
    rows = ((v.stored_at, v.label, v.score, v.severity, v.source, v.post_id, v.lane, v.adapter) for v in found)
    print_rows(headings, rows, none="No verdicts.")
    return 0


def _show(reader: VerdictReader, arguments: argparse.Namespace) -> int:
    source = arguments.of_source or arguments.source or "default"
    history = reader.history(arguments.id, source)
    if not history:
        print(f"No verdict on this post of source {source}.", file=sys.stderr)
        return 1
    for verdict, deliveries in history:
        if arguments.json or arguments.as_json:
            print(_json({**asdict(verdict), "deliveries": [asdict(delivery) for delivery in deliveries]}))
        else:
            _print_verdict(verdict)
            for delivery in deliveries:
                _print_delivery(delivery)
            print()
    return 0


def _print_verdict(verdict: StoredVerdict) -> None:
    for name, value in asdict(verdict).items():
        if value not in (None, {}):
            print(f"{name + ':':<16}{value}")


def _print_delivery(delivery: DeliveryReport) -> None:
    tries = f"{delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    why = f", {delivery.last_error}" if delivery.last_error else ""
    when = delivery.delivered_at or (f"next at {delivery.next_attempt_at}" if delivery.state == "pending" else "")
    print(f"{'delivery:':<16}{delivery.webhook_id} {delivery.event} to {delivery.url}: {delivery.state} ({tries}{why}) {when}".rstrip())


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, default=lambda value: value.isoformat(), ensure_ascii=False)


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(value)

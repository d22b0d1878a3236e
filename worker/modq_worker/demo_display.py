"""What the demo shows: bars and tables on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from modq_worker.demo import Report, Tally

_ROWS = 15
_LINE_EVERY_SECONDS = 1.0


class Following:
    """Shows how far the posts are, inside the ``with`` block."""

    def __init__(self, console: Console, posts: int) -> None:
        self._console = console
        self._posts = posts
        columns = (SpinnerColumn(), TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._said = time.monotonic()

    def __enter__(self) -> Following:
        for name in ("published", "judged"):
            self._tasks[name] = self._progress.add_task(name, total=self._posts)
        for name in ("flagged", "webhooks verified"):
            self._tasks[name] = self._progress.add_task(name, total=None)
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, tally: Tally) -> None:
        """Show this tally."""
        if not self._console.is_terminal:
            self._say(tally)
            return
        self._progress.update(self._tasks["published"], completed=tally.published)
        self._progress.update(self._tasks["judged"], completed=tally.verdicts + tally.dead_letters)
        done = tally.flagged if tally.verdicts + tally.dead_letters >= self._posts else None
        self._progress.update(self._tasks["flagged"], completed=tally.flagged, total=done)
        self._progress.update(self._tasks["webhooks verified"], completed=tally.webhooks, total=tally.flagged or done)

    def _say(self, tally: Tally) -> None:
        if time.monotonic() - self._said < _LINE_EVERY_SECONDS:
            return
        self._said = time.monotonic()
        judged = tally.verdicts + tally.dead_letters
        self._console.print(f"published {tally.published}, judged {judged}, flagged {tally.flagged}, webhooks verified {tally.webhooks}")


def show_report(console: Console, report: Report) -> None:
    """Show what came out: the flagged posts, what was measured, and whether all adds up."""
    if report.flagged:
        console.print(_flagged(report), soft_wrap=False)
    if len(report.flagged) > _ROWS:
        console.print(f"and {len(report.flagged) - _ROWS} more with lower scores")
    if report.by_kind:
        kinds = ", ".join(f"{kind} {flagged}/{all}" for kind, (flagged, all) in sorted(report.by_kind.items()))
        console.print(Text(f"\nFlagged, by what the posts were written as: {kinds}"))
    console.print()
    for name, value in _measured(report):
        console.print(Text.assemble((f"{name:<12}", "bold"), value))
    for fault in report.faults:
        console.print(Text(f"It does not add up: {fault}", style="bold red"))


def _flagged(report: Report) -> Table:
    table = Table(title="Flagged posts", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("score", "author", "post", "forum"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if name == "post" else None)
    table.expand = True
    for each in report.flagged[:_ROWS]:
        hidden = Text("hidden", style="green") if each.hidden else Text("shown", style="red")
        table.add_row(f"{each.score:.3f}", Text(_printable(each.post.author or "")), Text(_printable(each.post.text)), hidden)
    return table


def _measured(report: Report) -> list[tuple[str, str]]:
    tally = report.tally
    rows = [("Accounting", f"{report.expected} posts published = {tally.verdicts} verdicts + {tally.dead_letters} dead letters")]
    rows.append(("Webhooks", f"{tally.webhooks} verified by the forum, of {tally.flagged} posts flagged; {tally.refused} refused"))
    if report.latency:
        p50, p99 = (report.latency[percentile] * 1000 for percentile in (50, 99))
        rows.append(("Latency", f"{p50:.0f} ms (p50), {p99:.0f} ms (p99) from published to stored, posts coming one by one"))
    if report.throughput:
        rows.append(("Throughput", f"{report.throughput:.0f} posts a second, posts coming all at once"))
    return rows


def _printable(text: str) -> str:
    """Without what could steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:500])

"""A run of the example writer that asks a language model: goes on where an interrupted one ended, and shows what it costs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn, TimeRemainingColumn

from modq.errors import ModqError
from modq_training.chat_endpoint import Answer, ChatEndpoint
from modq_training.constitution import Constitution
from modq_training.endpoint_writer import paraphrase, parent_of, requests, write_pairs
from modq_training.grammar import Part
from modq_training.written_example import Unseen, WrittenExample, read_rows, write_rows


class EndpointRun:
    """Writes to ``output`` what is not in it yet.

    Args:
        price: of a million tokens in and of a million out, in whatever money.
    """

    def __init__(self, endpoint: ChatEndpoint, output: Path, *, seed: int, parallel: int, price: tuple[float, float]) -> None:
        self._endpoint = endpoint
        self._output = output
        self._seed = seed
        self._parallel = parallel
        self._price = price
        self._done = list(read_rows(output))
        self._unseen = Unseen(str(row["text"]) for row in self._done)
        self.examples = len(self._done)
        self.tokens_in = 0
        self.tokens_out = 0

    @property
    def cost(self) -> float:
        """Of this run, so far."""
        return (self.tokens_in * self._price[0] + self.tokens_out * self._price[1]) / 1e6

    def write_pairs(self, constitution: Constitution, part: Part, count: int) -> None:
        """Add borderline pairs until the file has ``count`` examples, or there is nothing left to ask.

        Raises:
            ModqError: the file is from another constitution.
            EndpointFailed: what was written before is kept, and the next run goes on from there.
        """
        if {row["constitution"] for row in self._done} - {constitution.sha256}:
            raise ModqError(f"{self._output} was written from another constitution: choose another file.")
        asked = {row["template"] for row in self._done}
        left = [request for request in requests(constitution, part, self._seed) if request.template not in asked]
        groups = write_pairs(
            self._endpoint, constitution, left, seed=self._seed, unseen=self._unseen, parallel=self._parallel, told=self._told
        )
        self._write(groups, count)

    def paraphrase(self, source: Path, part: Part, count: int) -> None:
        """Add the examples of ``source`` that belong to ``part`` in other words, until the file has ``count``."""
        done = {row["parent"] for row in self._done}
        left = [row for row in read_rows(source) if row.get("split") == part and parent_of(row) not in done]
        groups = paraphrase(self._endpoint, left, seed=self._seed, unseen=self._unseen, parallel=self._parallel, told=self._told)
        self._write(groups, count)

    def _write(self, groups: Iterable[list[WrittenExample]], count: int) -> None:
        columns = (*Progress.get_default_columns()[:3], TimeRemainingColumn(), TextColumn("{task.fields[spent]}"))
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("examples", total=count, completed=self.examples, spent="")
            if self.examples >= count:
                return
            for group in groups:
                self.examples += write_rows(self._output, group, append=True)
                self._show(progress, task)
                if self.examples >= count:
                    return

    def _show(self, progress: Progress, task: TaskID) -> None:
        spent = f"{self.tokens_in:,} + {self.tokens_out:,} tokens, cost {self.cost:.2f}"
        progress.update(task, completed=self.examples, spent=spent)

    def _told(self, answer: Answer) -> None:
        self.tokens_in += answer.prompt_tokens
        self.tokens_out += answer.completion_tokens

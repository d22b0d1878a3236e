"""The example writer that asks a language model: for borderline pairs of each rule of the constitution, and for paraphrases."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from modq_training.chat_endpoint import Answer, ChatEndpoint
from modq_training.constitution import Constitution, Rule
from modq_training.grammar import Part, part_of
from modq_training.written_example import Side, Unseen, WrittenExample, example_of

Question = TypeVar("Question")

PAIRS_AT_ONCE: Final = 10
TEXTS_AT_ONCE: Final = 10
SETTINGS: Final = (
    "a game's team chat", "the comments below a news article", "a hobby forum", "a school's group chat", "a code review", "reviews of a shop",
    "a video's comments", "a dating app", "a parents' group", "a football fan forum", "direct messages between friends", "a town's community page",
    "a stream's live chat", "a support ticket", "a book club", "a workplace chat", "a self-help forum", "a political debate", "role play", "a music forum",
)  # fmt: skip
STYLES: Final = ("short and in slang", "one plain sentence", "two or three sentences", "sarcastic", "polite on the surface", "angry, with swearing", "a question", "told in the first person")
SYSTEM: Final = (
    "You write test data for a content moderation classifier. The data teach it to tell texts that break a rule from texts that look similar "
    "and are fine. Write as real people post: varied, natural, no repeated patterns. Invent all names, addresses and numbers. Never write "
    "instructions for doing harm, and never anything sexual about minors. Answer with JSON lines only."
)


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model, the same at every run with the same seed."""

    rule: Rule
    kind: str
    """The kind of text that breaks the rule, in the constitution's words."""
    setting: str
    style: str
    part: Part

    @property
    def template(self) -> str:
        """What names it in the data: a request whose name is in a file already is not made again."""
        return hashlib.sha256("|".join((self.rule.id, self.kind, self.setting, self.style)).encode()).hexdigest()[:12]


def requests(constitution: Constitution, part: Part, seed: int) -> list[Request]:
    """Every request of a part, in an order that ``seed`` decides, the rules in turn.

    A kind of text in a setting belongs to one part, whatever the style, so that no sibling crosses the split. A rule without
    examples in the constitution has no request.
    """
    chance = random.Random(f"requests {seed}")
    by_rule: list[list[Request]] = []
    for rule in constitution.rules:
        if rule.breaking_examples:
            combined = itertools.product(rule.breaks, SETTINGS, STYLES)
            of_rule = [Request(rule, *it, part) for it in combined if part_of(f"{rule.id}|{it[0]}|{it[1]}") == part]
            chance.shuffle(of_rule)
            by_rule.append(of_rule)
    return [request for turn in itertools.zip_longest(*by_rule) for request in turn if request]


def write_pairs(
    endpoint: ChatEndpoint,
    constitution: Constitution,
    asked: Iterable[Request],
    *,
    seed: int,
    unseen: Unseen,
    parallel: int = 4,
    told: Callable[[Answer], None] = lambda answer: None,
) -> Iterator[list[WrittenExample]]:
    """The examples of each request, near-copies left out; ``told`` hears of each answer, for its tokens.

    Raises:
        EndpointFailed: what came before has been yielded.
    """

    def answer(request: Request) -> Answer:
        return endpoint.ask(SYSTEM, pairs_prompt(request), seed=seed)

    for request, said in _in_parallel(answer, asked, parallel):
        told(said)
        yield list(itertools.chain.from_iterable(group for group in _pairs(said.text, request, endpoint, constitution, seed) if unseen.admits(it.text for it in group)))


def paraphrase(
    endpoint: ChatEndpoint,
    rows: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    unseen: Unseen,
    parallel: int = 4,
    told: Callable[[Answer], None] = lambda answer: None,
) -> Iterator[list[WrittenExample]]:
    """Each of ``rows``, written by ``modq write-examples``, in other words: same rule, side, split and template."""
    batches = [rows[start : start + TEXTS_AT_ONCE] for start in range(0, len(rows), TEXTS_AT_ONCE)]

    def answer(batch: Sequence[Mapping[str, Any]]) -> Answer:
        return endpoint.ask(SYSTEM, paraphrase_prompt([str(row["text"]) for row in batch]), seed=seed)

    for batch, said in _in_parallel(answer, batches, parallel):
        told(said)
        yield [
            replace(example_of(row), text=text, generator=f"endpoint:{endpoint.model}", seed=seed, augmentation="paraphrase", parent=parent_of(row))
            for row, text in _paraphrases(said.text, batch)
            if unseen.admits([text])
        ]


def pairs_prompt(request: Request) -> str:
    """What a request asks."""
    rule = request.rule
    return "\n".join(
        (
            f"The rule: {rule.title}.",
            "What breaks it:",
            *(f"- {kind}" for kind in rule.breaks),
            "What comes near and is fine:",
            *(f"- {kind}" for kind in rule.safe),
            "Examples that break it:",
            *(f"- {text}" for text in rule.breaking_examples),
            "Examples that are fine:",
            *(f"- {text}" for text in rule.safe_examples),
            "",
            f"Write {PAIRS_AT_ONCE} pairs of posts from {request.setting}, {request.style}. In each pair one post breaks the rule in this way: "
            f"{request.kind} The other uses nearly the same words, is as rude or as polite, and is fine.",
            'One JSON object a line: {"breaks": "...", "safe": "..."}',
        )
    )


def paraphrase_prompt(texts: Sequence[str]) -> str:
    """What is asked about texts that are to be said in other words."""
    listed = "\n".join(json.dumps({"number": number, "text": text}, ensure_ascii=False) for number, text in enumerate(texts))
    return (
        "Say each text in other words, as another person would post it. Keep who speaks, to whom, of whom, and what it does to them: what is "
        f'hostile stays as hostile, what is fine stays fine.\n{listed}\nOne JSON object a line: {{"number": 0, "text": "..."}}'
    )


def parent_of(row: Mapping[str, Any]) -> str:
    """What a paraphrase or a red-team find names the text by that it comes from."""
    return hashlib.sha256(str(row["text"]).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _in_parallel(ask: Callable[[Question], Answer], questions: Iterable[Question], parallel: int) -> Iterator[tuple[Question, Answer]]:
    waiting = iter(questions)
    with ThreadPoolExecutor(parallel) as threads:
        while batch := list(itertools.islice(waiting, parallel)):
            yield from zip(batch, threads.map(ask, batch), strict=True)


def _pairs(said: str, request: Request, endpoint: ChatEndpoint, constitution: Constitution, seed: int) -> Iterator[list[WrittenExample]]:
    for number, found in enumerate(_objects(said)):
        texts: dict[Side, Any] = {"breaks": found.get("breaks"), "safe": found.get("safe")}
        if all(isinstance(text, str) and text.strip() for text in texts.values()):
            yield [
                WrittenExample(
                    text=text.strip(),
                    rule=request.rule.id,
                    side=side,
                    rules=(request.rule.id,) if side == "breaks" else (),
                    generator=f"endpoint:{endpoint.model}",
                    seed=seed,
                    template=request.template,
                    family=request.setting,
                    split=request.part,
                    constitution=constitution.sha256,
                    register=request.style,
                    pair=f"{request.template}-{number}",
                )
                for side, text in texts.items()
            ]


def _paraphrases(said: str, batch: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for found in _objects(said):
        number, text = found.get("number"), found.get("text")
        if isinstance(number, int) and 0 <= number < len(batch) and isinstance(text, str) and text.strip():
            yield batch[number], text.strip()


def _objects(said: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in an answer, one a line; models put them in fences and add commas, and some lines are none."""
    for line in said.splitlines():
        if found := re.search(r"\{.*\}", line):
            try:
                yield json.loads(found[0])
            except ValueError:
                continue

"""The offline example writer: unfolds the grammar into balanced examples, the same at every run with the same seed."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from modq_training.constitution import Constitution
from modq_training.disguise import FAMILIES, TRAINED
from modq_training.grammar import EVERYDAY, Grammar, InvalidGrammar, Part, Seed
from modq_training.registers import SHARES, Surroundings, in_register
from modq_training.written_example import Side, Unseen, WrittenExample

PAIRED_SHARE = 0.45
"""Of the examples, those that are one side of a borderline pair."""
FRAMED_SHARE = 0.25
"""Of a rule's pairs, those around a claim."""
EVERYDAY_SHARE = 0.35
"""Of the safe examples that are no side of a pair, those that come near no rule."""
TURNS = {"hate_speech": 3, "identity_attack": 2, "insult": 2}
"""How often a rule comes up, next to the others' once: these are broken most, and in the most ways."""
_PATIENCE = 40
"""Attempts per example after which what is left to write is near-copies only."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to write."""

    part: Part
    count: int
    seed: int
    augmented_share: float = 0.0
    augmentations: Sequence[str] = TRAINED
    """The families of disguises that the augmented examples wear."""


def write_examples(constitution: Constitution, grammar: Grammar, order: Order) -> Iterator[WrittenExample]:
    """About ``order.count`` examples in random order: half of them break a rule, of those of the grammar.

    Fewer come where the grammar holds no more that are not near-copies of each other.

    Raises:
        InvalidGrammar: the grammar is about a rule that the constitution does not have.
    """
    known = {EVERYDAY, *constitution.ids}
    if unknown := sorted({seed.rule for seed in grammar.seeds} - known):
        raise InvalidGrammar(f"The grammar is about {unknown[0]}, and the constitution has no such rule.")
    writer = _Writer(constitution, grammar, order)
    paired = round(order.count * PAIRED_SHARE / 2)
    groups = writer.pairs(paired) + writer.singles(order.count - 2 * paired)
    examples = list(itertools.chain.from_iterable(groups))
    random.Random(f"order {order.seed}").shuffle(examples)
    return iter(examples)


class _Writer:
    def __init__(self, constitution: Constitution, grammar: Grammar, order: Order) -> None:
        self._constitution = constitution
        self._grammar = grammar
        self._order = order
        self._chance = random.Random(f"examples {order.part} {order.seed}")
        self._unseen = Unseen()
        self._seeds = [seed for seed in grammar.seeds if seed.part == order.part] + list(_constitution_seeds(constitution, order.part))
        self._around = Surroundings(*([str(word) for word in grammar.slots[name]] for name in ("before", "after", "openers", "closers")))

    def pairs(self, count: int) -> list[list[WrittenExample]]:
        """``count`` borderline pairs."""
        own, framed = ([seed for seed in self._seeds if seed.is_pair and seed.framed is kind] for kind in (False, True))
        groups = self._written(own, ("breaks", "safe"), round(count * (1 - FRAMED_SHARE)))
        return groups + self._written(framed, ("breaks", "safe"), count - len(groups))

    def singles(self, count: int) -> list[list[WrittenExample]]:
        """``count`` examples that stand alone; one side of a pair may be among them, in other words."""
        breaking = [seed for seed in self._seeds if seed.breaks is not None and not seed.framed]
        near = [seed for seed in self._seeds if seed.safe is not None and (not seed.framed or not seed.is_pair) and seed.rule != EVERYDAY]
        everyday = [seed for seed in self._seeds if seed.rule == EVERYDAY]
        of_everyday = round(count / 2 * EVERYDAY_SHARE)
        return (
            self._written(breaking, ("breaks",), count // 2)
            + self._written(near, ("safe",), count - count // 2 - of_everyday)
            + self._written(everyday, ("safe",), of_everyday)
        )

    def _written(self, seeds: Sequence[Seed], sides: Sequence[Side], count: int) -> list[list[WrittenExample]]:
        groups: list[list[WrittenExample]] = []
        if seeds:
            for seed in itertools.islice(self._in_turn(seeds, len(sides) == 1), count * _PATIENCE):
                if len(groups) == count:
                    break
                group = self._group(seed, sides)
                if self._unseen.admits(example.text for example in group):
                    groups.append(group)
        return groups

    def _in_turn(self, seeds: Sequence[Seed], single: bool) -> Iterator[Seed]:
        """The rules by ``TURNS``, and within a rule every seed alike; where examples stand alone, those seeds twice that are meant to."""
        by_rule: dict[str, list[Seed]] = {}
        for seed in seeds:
            by_rule.setdefault(seed.rule, []).extend([seed] * (2 if single and not seed.is_pair else 1))
        turns = [source for rule, of_rule in by_rule.items() for source in [self._shuffled(of_rule)] * TURNS.get(rule, 1)]
        return itertools.chain.from_iterable(zip(*turns, strict=True))

    def _shuffled(self, seeds: list[Seed]) -> Iterator[Seed]:
        while True:
            self._chance.shuffle(seeds)
            yield from list(seeds)

    def _group(self, seed: Seed, sides: Iterable[Side]) -> list[WrittenExample]:
        """The asked sides of ``seed``, alike in everything that chance decides."""
        key = f"{self._order.part} {self._order.seed} {self._chance.random()}"
        chance = random.Random(key)
        register = chance.choices(list(SHARES), list(SHARES.values()))[0]
        augmentation = chance.choice(self._order.augmentations) if chance.random() < self._order.augmented_share else ""
        template = hashlib.sha256(f"{seed.breaks}|{seed.safe}".encode()).hexdigest()[:12]
        pair = hashlib.sha256(key.encode()).hexdigest()[:12] if seed.is_pair else ""
        bound: dict[str, str | dict[str, str]] = {}
        group = []
        for side in sides:
            written = seed.breaks if side == "breaks" else seed.safe
            assert written is not None
            text = written if seed.family == "constitution" else self._grammar.unfold(seed, written, bound, random.Random(key))
            text = in_register(register, text, self._around, key)
            if augmentation:
                text = FAMILIES[augmentation](text, random.Random(key))
            group.append(
                WrittenExample(
                    text=text,
                    rule=seed.rule,
                    side=side,
                    rules=(seed.rule, *seed.also) if side == "breaks" else (),
                    generator="grammar",
                    seed=self._order.seed,
                    template=template,
                    family=seed.family,
                    split=self._order.part,
                    constitution=self._constitution.sha256,
                    register=register,
                    pair=pair if len(tuple(sides)) > 1 else "",
                    augmentation=augmentation,
                )
            )
        return group


def _constitution_seeds(constitution: Constitution, part: Part) -> Iterator[Seed]:
    """The constitution's own examples, which are for training only: who edits them sees them in the data."""
    if part == "train":
        for rule in constitution.rules:
            yield from (Seed(rule.id, "constitution", text, None) for text in rule.breaking_examples)
            yield from (Seed(rule.id, "constitution", None, text) for text in rule.safe_examples)

"""A recipe: everything that a training run depends on, apart from its data and its seed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modq.errors import ModqError


class InvalidRecipe(ModqError):
    """The recipe does not exist, or has a field that is missing, unknown or of the wrong type."""


LABELS = ("safe", "toxic")


@dataclass(frozen=True, slots=True)
class Mix:
    """Which rows an epoch sees; the comments of ``recipe.toml`` say what the fields mean."""

    rows: int
    toxic_share: float
    weights: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    neutral: tuple[str, ...] = ()
    """Sources of everyday safe text, on whose validation part the threshold is chosen."""

    tempting: float = 1.0
    """How much more readily the neutral sources' safe texts are drawn that hold a word typical of toxic ones."""

    def weight(self, source: str, category: str, label: int, *, tempting: bool = False) -> float:
        """How readily a row is drawn: its category's weight, else its source's for that label, else its source's, else 1."""
        names = (f"{source}:{category}", f"{source}:{LABELS[label]}", source)
        weight = next((self.weights[name] for name in names if name in self.weights), 1.0)
        return weight * self.tempting if tempting and source in self.neutral else weight

    def label(self, source: str, category: str, label: int) -> int:
        """The label that a row is trained with: 0 safe, 1 toxic."""
        return self.labels.get(f"{source}:{category}", label)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to make an adapter."""

    name: str
    base: str
    """The base model's name on its hub."""
    mix: Mix
    rank: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...]
    learning_rate: float
    batch_rows: int
    """Rows of one step of the optimiser."""
    batch_tokens: int
    """Most tokens, padding included, of one forward pass: a step of long texts takes several."""
    max_tokens: int
    epochs: int
    revision: str | None = None
    sha256: str | None = None
    """Of the base's weights. None: the run pins whatever it finds."""
    registry_package: str | None = None
    """A package of the Python index that holds the base's weights."""
    rule_loss: float = 0.3
    """What the loss of the rules counts for, next to that of safe and toxic; texts whose rules nobody knows have none."""
    base_dropout: float | None = None
    """Dropout of the base model itself; None: what its own configuration says."""
    disguised_share: float = 0.0
    """Share of the rows that are shown in disguise: leetspeak, spaced letters, capitals."""
    validation_share: float = 0.05
    """Share of the texts that are not trained on; they choose the best weights, the threshold and the temperature."""
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    evaluations: int = 10
    """How often an epoch is interrupted to look at the validation texts."""
    patience: int = 4
    """Evaluations without progress after which the run stops."""


def recipes_file() -> Path:
    """The recipes that come with modq: beside this package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    return next((path for path in (package.parent / "recipe.toml", package / "recipe.toml") if path.exists()), package / "recipe.toml")


def load_recipe(name: str, file: Path | None = None) -> Recipe:
    """Read the recipe ``name``.

    Raises:
        InvalidRecipe: with a sentence that says what is wrong.
    """
    file = file or recipes_file()
    try:
        document = tomllib.loads(file.read_text())
        table = dict(document["recipe"][name])
        mixed = dict(document["mix"][table.pop("mix")])
        mix = Mix(neutral=tuple(mixed.pop("neutral", ())), **mixed)
        return Recipe(name=name, mix=mix, target_modules=tuple(table.pop("target_modules")), **table)
    except OSError as error:
        raise InvalidRecipe(f"The recipes {file.name} cannot be read: {error.strerror}.") from None
    except KeyError as error:
        raise InvalidRecipe(f"The recipes {file.name} have nothing called {error}; recipes: {', '.join(names(file))}.") from None
    except (TypeError, ValueError) as error:
        raise InvalidRecipe(f"The recipe {name} in {file.name} is not right: {error}.") from None


def names(file: Path | None = None) -> list[str]:
    """The names of the recipes in ``file``."""
    document: dict[str, Any] = tomllib.loads((file or recipes_file()).read_text())
    return sorted(document.get("recipe", {}))

"""Every recipe can be read, and gemma-2b's is the published card's."""

from __future__ import annotations

from pathlib import Path

import pytest

from modq_training.commands.fine_tune import pinned
from modq_training.recipe import InvalidRecipe, load_recipe, names
from modq_worker.backbone import PACKAGES, Package


@pytest.mark.parametrize("name", names())
def test_every_recipe_can_be_read_and_trains_on_both_classes(name: str) -> None:
    recipe = load_recipe(name)
    assert 0 < recipe.mix.toxic_share < 1
    assert recipe.mix.rows >= recipe.batch_rows


def test_gemma_2b_is_the_card() -> None:
    recipe = load_recipe("gemma-2b")
    assert recipe.base == "google/gemma-2b"
    assert (recipe.rank, recipe.alpha, recipe.dropout) == (16, 32, 0.1)
    assert recipe.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert (recipe.learning_rate, recipe.batch_rows, recipe.max_tokens) == (2e-4, 8, 256)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.short_name)
def test_every_base_that_can_be_fetched_has_a_recipe_that_pins_it(package: Package) -> None:
    [recipe] = [recipe for recipe in map(load_recipe, names()) if recipe.base == package.base.name]
    assert (recipe.revision, {"model.safetensors": recipe.sha256}, recipe.registry_package) == (package.base.revision, package.base.weights, package.name)


def test_an_unknown_recipe_is_told_with_the_known_ones() -> None:
    with pytest.raises(InvalidRecipe, match="minilm"):
        load_recipe("gpt-9")


@pytest.mark.parametrize("line", ["rnak = 16", "rank = "])
def test_a_recipe_that_is_not_right_is_a_sentence(tmp_path: Path, line: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f"[mix.m]\nrows = 1\ntoxic_share = 0.5\n[recipe.mine]\nmix = 'm'\ntarget_modules = []\n{line}\n")
    with pytest.raises(InvalidRecipe, match="mine"):
        load_recipe("mine", file)


def test_a_recipe_without_a_pinned_base_asks_for_revision_and_folder(tmp_path: Path) -> None:
    gemma = load_recipe("gemma-2b")
    with pytest.raises(InvalidRecipe, match="--revision"):
        pinned(gemma, None, tmp_path)
    with pytest.raises(InvalidRecipe, match="--backbone"):
        pinned(gemma, "a" * 40, None)
    assert pinned(gemma, "a" * 40, tmp_path).revision == "a" * 40

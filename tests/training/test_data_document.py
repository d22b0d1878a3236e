"""docs/data.md tells of every public set that the mix or the model card names, and its example makes rows that can be trained on."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import modq_training
from modq_training.dataset import read_examples

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "data.md").read_text()
NOT_PUBLIC = {"constitution", "red_team"}


def test_each_public_set_has_a_row_in_both_tables() -> None:
    where, columns = DOCUMENT.split("## Where they are")[1].split("## What becomes of their columns")
    described = set(tomllib.loads((Path(modq_training.__file__).parent / "data_sets.toml").read_text())) - NOT_PUBLIC
    for table in (where, columns):
        assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) - {"source"} == described


def test_each_source_and_category_of_the_mix_is_there() -> None:
    mix = tomllib.loads((ROOT / "training" / "recipe.toml").read_text())["mix"]["constitution"]
    for name in {*mix["weights"], *mix["neutral"]} - NOT_PUBLIC:
        source, _, category = name.partition(":")
        assert f"| `{source}` |" in DOCUMENT
        assert not category or category in ("safe", "toxic") or f"`{category}`" in DOCUMENT or source == "hatexplain", name


def test_the_licences_are_those_of_the_model_card() -> None:
    sets = tomllib.loads((Path(modq_training.__file__).parent / "data_sets.toml").read_text())
    for name in set(sets) - NOT_PUBLIC:
        [row] = re.findall(rf"^\| `{name}` \|.*https?.*$|^\| `{name}` \|.*we know no page.*$", DOCUMENT, re.M)
        # What stands in brackets in one need not in the other.
        assert re.sub(r" \(.*?\)", "", sets[name]["licence"]) in row
        assert sets[name].get("url", "") in row


def test_the_example_makes_a_file_to_train_on(tmp_path: Path) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.M | re.S)
    rows = ['0,3,0,0,3,2,"a &amp; b, said @one"', "1,3,0,3,0,1,what a mess", "2,3,0,3,0,1,what a mess", "3,3,3,0,0,0,go away"]
    (tmp_path / "labeled_data.csv").write_text("\n".join([",count,hate_speech,offensive_language,neither,class,tweet", *rows]))
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)
    made = read_examples(tmp_path / "davidson.jsonl.gz")
    assert [(row.text, row.label, row.category, row.source) for row in made] == [
        ("a & b, said @one", 0, "neither", "davidson"),
        ("what a mess", 1, "offensive", "davidson"),
        ("go away", 1, "hate", "davidson"),
    ]

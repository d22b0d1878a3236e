"""The constitution is a page that people edit: what is wrong with it is told by the rule's name, and its hash names what it says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from modq.cli import main
from modq_training.constitution import InvalidConstitution, constitution_file, load_constitution

PAGE = """# Ours

## Rudeness

- id: `rudeness`
- severity: `low`

### What breaks it

- Being rude
  on two lines.

### What barely does not

- Being blunt.

### Examples that break it

- Shut up.

### Examples that barely do not

- Shut up, really?!
"""


def page(folder: Path, text: str) -> Path:
    file = folder / "ours.md"
    file.write_text(text, encoding="utf-8", newline="")
    return file


def test_a_page_is_read_as_written(tmp_path: Path) -> None:
    (rule,) = load_constitution(page(tmp_path, PAGE)).rules
    assert (rule.id, rule.title, rule.severity) == ("rudeness", "Rudeness", "low")
    assert rule.breaks == ("Being rude on two lines.",)
    assert rule.safe_examples == ("Shut up, really?!",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- id: `rudeness`", "- id: rudeness", "“Rudeness” has no line “- id"),
        ("`low`", "`mild`", "rudeness has no line “- severity.*low, medium, high, critical"),
        ("- Being blunt.", "", "rudeness says nothing under “What barely does not”"),
        ("- Shut up.\n", "", "rudeness has nothing under “Examples that break it”"),
        ("- Shut up.\n", "None, on purpose.\n", "examples of one kind only"),
        ("### What breaks it", "### What brakes it", "rudeness has a part “What brakes it”"),
        ("## Rudeness", "Rudeness", "has no rule"),
    ],
)
def test_what_is_wrong_is_told_with_the_rule(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in PAGE
    with pytest.raises(InvalidConstitution, match=message):
        load_constitution(page(tmp_path, PAGE.replace(old, new)))


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConstitution, match="Two rules are called rudeness"):
        load_constitution(page(tmp_path, PAGE + PAGE))


def test_the_hash_is_that_of_the_file_and_the_same_with_other_line_ends(tmp_path: Path) -> None:
    expected = hashlib.sha256(PAGE.encode()).hexdigest()
    assert load_constitution(page(tmp_path, PAGE)).sha256 == expected
    assert load_constitution(page(tmp_path, PAGE.replace("\n", "\r\n"))).sha256 == expected
    assert load_constitution(page(tmp_path, PAGE + "\n")).sha256 != expected


def test_the_page_that_ships_has_its_rules_and_no_example_of_the_one_about_minors() -> None:
    constitution = load_constitution()
    assert set(constitution.ids) >= {
        "hate_speech", "threats", "harassment", "self_harm_promotion", "identity_attack", "insult",
        "violence_and_incitement", "sexual_harassment", "sexual_content_about_minors", "extremism", "doxxing",
    }  # fmt: skip
    minors = constitution.rule("sexual_content_about_minors")
    assert not minors.breaking_examples
    assert not minors.safe_examples


def test_the_command_prints_the_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["constitution", "hash"]) == 0
    assert capsys.readouterr().out.strip() == hashlib.sha256(constitution_file().read_bytes()).hexdigest()


def test_the_command_tells_an_error_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["constitution", "check", "--constitution", str(tmp_path / "none.md")]) == 1
    assert capsys.readouterr().err == "modq constitution: The constitution none.md cannot be read: No such file or directory.\n"

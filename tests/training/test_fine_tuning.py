"""Fine-tuning leaves a folder that the worker loads, that tells toxic from safe, and that the seed alone decides."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.training.small_world import SUBJECTS, small_recipe, write_rows

from modq_training.adapter_making import make_adapter, read_split
from modq_training.checkpoint import CHECKPOINT, Checkpoint, OtherRun, shorten
from modq_training.dataset import InvalidDataset
from modq_training.fine_tuning import fine_tune
from modq_worker.adapter import WEIGHTS, load_adapter
from modq_worker.classifier import Classifier

RECIPE = small_recipe()


@pytest.fixture(scope="module")
def adapter(tiny_bert: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "small"
    make_adapter(RECIPE, [rows], folder, backbone=tiny_bert, seed=1, quiet=True)
    return folder


def test_the_worker_loads_it_and_it_tells_toxic_from_safe(adapter: Path, tiny_bert: Path) -> None:
    classifier = Classifier.load(adapter, backbone=tiny_bert)
    toxic = classifier.score(["that cook is stupid today", "our team is filthy", "my brother is worthless once more"])
    safe = classifier.score(["that cook is lovely today", "our team is bright", "my brother is clever once more"])
    assert min(score.toxic for score in toxic) > max(score.toxic for score in safe)


def test_adapter_json_names_the_base_the_data_and_how_it_was_calibrated(adapter: Path, rows: Path) -> None:
    pinned = load_adapter(adapter)
    assert (pinned.base.name, pinned.base.revision, pinned.max_length) == (RECIPE.base, RECIPE.revision, RECIPE.max_tokens)
    assert pinned.recipe == {"name": "small", "seed": 1, "data": {"small_world": hashlib.sha256(rows.read_bytes()).hexdigest()}}
    assert pinned.metrics["validation_roc_auc"] > 0.95
    facts = json.loads((adapter / "measured" / "run.json").read_text())
    assert pinned.threshold == facts["calibration"]["threshold"]
    assert pinned.temperature == facts["calibration"]["temperature"]


def test_nothing_in_the_folder_tells_where_it_was_made(adapter: Path, tiny_bert: Path) -> None:
    for file in adapter.rglob("*"):
        if file.is_file():
            assert str(tiny_bert).encode() not in file.read_bytes(), file.name


def test_the_log_of_the_run_is_kept_and_the_checkpoint_is_not(adapter: Path) -> None:
    log = [json.loads(line) for line in (adapter / "measured" / "training_log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == sorted({entry["step"] for entry in log})
    assert log[0].keys() == {"step", "loss", "validation_roc_auc", "seconds"}
    assert not (adapter / CHECKPOINT).exists()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny_bert: Path, rows: Path, tmp_path: Path) -> None:
    texts, _ = read_split([rows], RECIPE)
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        fine_tune(RECIPE, texts, tiny_bert, tmp_path / name, seed=seed, max_steps=12, quiet=True)
    first, again, other = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("first", "again", "other"))
    assert first == again != other


def test_an_interrupted_run_resumes_to_the_same_weights(tiny_bert: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, _ = read_split([rows], RECIPE)

    def train(name: str) -> None:
        fine_tune(RECIPE, texts, tiny_bert, tmp_path / name, max_steps=24, resume=True, quiet=True)

    train("whole")
    save = Checkpoint.save

    def save_and_be_interrupted(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        if arguments[1] == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_be_interrupted)
        with pytest.raises(KeyboardInterrupt):
            train("interrupted")
    assert (tmp_path / "interrupted" / CHECKPOINT).exists()
    train("interrupted")
    assert (tmp_path / "interrupted" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_the_checkpoint_of_another_run_is_not_gone_on_with(tiny_bert: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, _ = read_split([rows], RECIPE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path: None)
        fine_tune(RECIPE, texts, tiny_bert, tmp_path, max_steps=4, quiet=True)
    assert (tmp_path / CHECKPOINT).exists()
    with pytest.raises(OtherRun, match="another seed"):
        fine_tune(RECIPE, texts, tiny_bert, tmp_path, max_steps=4, seed=1, resume=True, quiet=True)


def test_the_log_of_what_is_done_again_is_taken_back(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 5}\n{"step": 10}\n{"step": 15}\n{"ste')
    shorten(log, 10)
    assert log.read_text() == '{"step": 5}\n{"step": 10}\n'


def test_a_run_without_progress_stops_early_and_keeps_the_best_step(tiny_bert: Path, rows: Path, tmp_path: Path) -> None:
    texts, _ = read_split([rows], RECIPE)
    trained = fine_tune(small_recipe(patience=2, epochs=6), texts, tiny_bert, tmp_path / "patient", quiet=True)
    assert trained.stopped_early
    assert trained.best_step < trained.steps


def test_data_without_toxic_texts_is_refused_in_a_sentence(tiny_bert: Path, tmp_path: Path) -> None:
    few = write_rows(tmp_path / "few.jsonl", subjects=SUBJECTS[:1])
    few.write_text("".join(line for line in few.read_text().splitlines(keepends=True) if '"label": 0' in line))
    texts, _ = read_split([few], RECIPE)
    with pytest.raises(InvalidDataset, match="safe and toxic texts are needed"):
        fine_tune(RECIPE, texts, tiny_bert, tmp_path / "none", quiet=True)

"""Only a folder whose every file is the pinned one is loaded, and importing one leaves PEFT's files alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tests.worker.tiny_models import REVISION, Tiny, make_bert

from modq.cli import main
from modq_worker.adapter import AdapterRefused, load_adapter, pin_adapter, shipped_adapter
from modq_worker.classifier import Classifier


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_bert(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny(made: Tiny, tmp_path: Path) -> Tiny:
    shutil.copytree(made.adapter, tmp_path / "adapter")
    return Tiny(made.base, tmp_path / "adapter")


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_importing_adds_one_file_and_touches_no_other(tiny: Tiny) -> None:
    before = hashes(tiny.adapter)
    tiny.pin("--threshold", "0.7", "--name", "tiny-bert")
    after = hashes(tiny.adapter)
    del after["adapter.json"]
    assert after == before
    adapter = load_adapter(tiny.adapter)
    assert (adapter.name, adapter.threshold, adapter.base.name, adapter.base.revision) == ("tiny-bert", 0.7, "tiny/model", REVISION)
    assert adapter.files == {name: digest for name, digest in before.items() if not name.endswith(".md")}
    assert adapter.base.weights == {"model.safetensors": hashlib.sha256((tiny.base / "model.safetensors").read_bytes()).hexdigest()}
    assert adapter.id == f"tiny-bert@{hashlib.sha256((tiny.adapter / 'adapter.json').read_bytes()).hexdigest()[:12]}"


def test_a_folder_that_was_not_imported_is_refused(tiny: Tiny) -> None:
    with pytest.raises(AdapterRefused, match="is not pinned"):
        Classifier.load(tiny.adapter, backbone=tiny.base)


def test_importing_wants_a_commit_and_not_a_branch(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adapters", "import", str(tiny.adapter), "--base", "tiny/model", "--revision", "main", "--base-folder", str(tiny.base)])
    assert "must be a commit" in capsys.readouterr().err
    assert not (tiny.adapter / "adapter.json").exists()


def remove_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def alter_weights(folder: Path) -> None:
    content = bytearray((folder / "adapter_model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "adapter_model.safetensors").write_bytes(content)


def alter_tokenizer(folder: Path) -> None:
    with (folder / "tokenizer.json").open("a") as file:
        file.write(" ")


ALTERED: list[tuple[str, Callable[[Path], object]]] = [
    ("lacks adapter_model.safetensors", remove_weights),
    ("adapter_model.safetensors is not the file", alter_weights),
    ("tokenizer.json is not the file", alter_tokenizer),
    ("adapter_config.json is not the file", lambda folder: edit(folder / "adapter_config.json", lora_alpha=64)),
    ("does not pin", lambda folder: (folder / "added_tokens.json").write_text("{}")),
    ("pickled weights", lambda folder: (folder / "adapter_model.bin").write_bytes(b"\x80\x04")),
    ("pickled weights", lambda folder: (folder / "pytorch_model.pt").write_bytes(b"\x80\x04")),
    ("auto_map", lambda folder: edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": "planted.Planted"})),
    ("has version 2", lambda folder: edit(folder / "adapter.json", version=2)),
    ("has version None", lambda folder: (folder / "adapter.json").write_text("{}")),
    ("not a JSON object", lambda folder: (folder / "adapter.json").write_text("[" * 100_000)),
    ("surprise", lambda folder: edit(folder / "adapter.json", surprise=1)),
    ("threshold", lambda folder: edit(folder / "adapter.json", threshold=1.5)),
    ("labels must be", lambda folder: edit(folder / "adapter.json", labels={"0": "toxic", "1": "safe"})),
    ("must pin", lambda folder: edit(folder / "adapter.json", files={"tokenizer.json": "0" * 64})),
    ("files", lambda folder: edit(folder / "adapter.json", files={"../../etc/passwd": "0" * 64})),
]


@pytest.mark.parametrize(("complaint", "alter"), ALTERED)
def test_what_is_not_as_pinned_is_refused_in_one_sentence(tiny: Tiny, complaint: str, alter: Callable[[Path], object]) -> None:
    tiny.pin()
    alter(tiny.adapter)
    with pytest.raises(AdapterRefused, match=complaint) as refusal:
        load_adapter(tiny.adapter)
    assert "\n" not in str(refusal.value)


def test_a_trainers_leftovers_do_not_matter(tiny: Tiny) -> None:
    (tiny.adapter / "training_args.bin").write_bytes(b"never opened")
    (tiny.adapter / "README.md").write_text("# A model card")
    tiny.pin()
    assert "training_args.bin" not in load_adapter(tiny.adapter).files


def test_pickled_weights_are_not_imported_either(tiny: Tiny) -> None:
    remove_weights(tiny.adapter)
    (tiny.adapter / "adapter_model.bin").write_bytes(b"\x80\x04")
    words = ["adapters", "import", str(tiny.adapter), "--base", "tiny/model", "--revision", REVISION, "--base-folder", str(tiny.base)]
    assert main(words) == 1
    assert not (tiny.adapter / "adapter.json").exists()


def test_weights_without_a_trained_head_are_refused(tiny: Tiny) -> None:
    file = tiny.adapter / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if "classifier" not in name}, file)
    with pytest.raises(AdapterRefused, match="no trained classification head"):
        pin_adapter(tiny.adapter, base="tiny/model", revision=REVISION, base_folder=tiny.base)


def test_a_module_named_by_the_adapter_is_not_imported(tiny: Tiny) -> None:
    edit(tiny.adapter / "adapter_config.json", megatron_config={"a": 1}, megatron_core="antigravity")
    with pytest.raises(AdapterRefused, match="run its own code"):
        pin_adapter(tiny.adapter, base="tiny/model", revision=REVISION, base_folder=tiny.base)


def test_another_kind_of_adapter_is_refused(tiny: Tiny) -> None:
    edit(tiny.adapter / "adapter_config.json", peft_type="PROMPT_TUNING")
    with pytest.raises(AdapterRefused, match="no LoRA adapter"):
        pin_adapter(tiny.adapter, base="tiny/model", revision=REVISION, base_folder=tiny.base)


def test_an_adapter_for_another_architecture_is_refused(tiny: Tiny) -> None:
    edit(tiny.adapter / "adapter_config.json", target_modules=["q_proj"])
    tiny.pin()
    with pytest.raises(AdapterRefused, match="does not fit its base model"):
        Classifier.load(tiny.adapter, backbone=tiny.base)


def test_an_adapter_that_lacks_some_of_its_weights_is_refused(tiny: Tiny) -> None:
    file = tiny.adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    del tensors[next(name for name in tensors if "lora_A" in name)]
    save_file(tensors, file)
    tiny.pin()
    with pytest.raises(AdapterRefused, match="does not fit its base model"):
        Classifier.load(tiny.adapter, backbone=tiny.base)


def test_another_threshold_is_another_id(tiny: Tiny) -> None:
    first = pin_adapter(tiny.adapter, base="tiny/model", revision=REVISION, base_folder=tiny.base, threshold=0.5)
    second = pin_adapter(tiny.adapter, base="tiny/model", revision=REVISION, base_folder=tiny.base, threshold=0.6)
    assert first.id != second.id


def test_the_shipped_adapter_is_as_pinned() -> None:
    adapter = load_adapter(shipped_adapter())
    assert adapter.base.name == "sentence-transformers/all-MiniLM-L6-v2"


def test_show_and_check_tell_what_is_pinned(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.pin()
    assert main(["adapters", "show", str(tiny.adapter)]) == 0
    assert REVISION in capsys.readouterr().out
    assert main(["adapters", "check", str(tiny.adapter), "--backbone", str(tiny.base)]) == 0
    assert "it scores a harmless text" in capsys.readouterr().out
    alter_weights(tiny.adapter)
    assert main(["adapters", "check", str(tiny.adapter), "--backbone", str(tiny.base)]) == 1

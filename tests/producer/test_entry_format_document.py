"""docs/entry-format.md is true: its examples are run as they stand, and its tables agree with the code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

import modq.post
from modq import Post, Producer
from modq.post import FIELDS, MAX_ENTRY_BYTES, MAX_METADATA_BYTES, MAX_TEXT_CHARS

Queued = Callable[..., list[Post]]

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "entry-format.md").read_text()
TEXT = "You played well today"


def block(language: str) -> str:
    """The one code block of that language."""
    [code] = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.M | re.S)
    return str(code)


def environment(redis_url: str) -> dict[str, str]:
    return os.environ | {"MODQ_REDIS_URL": redis_url}


@pytest.fixture(scope="session")
def node_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """examples/node with the packages that its lock file pins."""
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(ROOT / "examples" / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True, timeout=150, capture_output=True)
    return folder


def test_the_command_of_the_first_lines_publishes_a_post(redis: Redis, queued: Queued) -> None:
    [command] = re.findall(r"^```\n(XADD .*)\n```$", DOCUMENT, re.M)
    redis.execute_command(*shlex.split(command))

    assert queued() == [Post(id="42", text=TEXT, source="forum")]


def test_the_redis_cli_example_publishes_a_post(redis: Redis, redis_url: str, queued: Queued) -> None:
    example = block("sh").strip()
    if client := shutil.which("redis-cli") or shutil.which("valkey-cli"):
        subprocess.run(["sh", "-c", example.replace("redis-cli", client, 1)], env=environment(redis_url), check=True, timeout=30)
    else:
        # Its words, taken apart as a shell does, are what redis-cli would send.
        words = shlex.split(example)
        assert words[:3] == ["redis-cli", "-u", "$MODQ_REDIS_URL"]
        redis.execute_command(*words[3:])

    assert queued() == [Post(id="cli-1", text=TEXT, source="forum", author="ada")]


@pytest.mark.node
def test_the_node_example_publishes_a_post(redis: Redis, redis_url: str, queued: Queued, node_packages: Path) -> None:
    (node_packages / "from-the-document.mjs").write_text(block("js"))
    subprocess.run(["node", "from-the-document.mjs"], cwd=node_packages, env=environment(redis_url), check=True, timeout=30)

    assert queued() == [Post(id="node-1", text=TEXT, source="forum", author="ada")]


@pytest.mark.node
def test_the_node_program_publishes_a_whole_file(redis: Redis, redis_url: str, queued: Queued, node_packages: Path, tmp_path: Path) -> None:
    posts = [Post(id=f"n{i}", text=f"Grüße \U0001f600 {i}", source="forum") for i in range(1203)]
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join(map(modq.post.encode, posts)) + b"\n\n")
    command = ["node", "publish.mjs", tmp_path / "posts.jsonl", "backlog"]
    subprocess.run(command, cwd=node_packages, env=environment(redis_url), check=True, timeout=60)

    assert queued("backlog") == posts


@pytest.mark.node
def test_the_node_program_tells_of_a_queue_that_refuses(redis: Redis, redis_url: str, node_packages: Path, tmp_path: Path) -> None:
    redis.set("modq:posts:live", "in the way")
    (tmp_path / "posts.jsonl").write_text('{"id":"1","text":"a"}\n')
    command = ["node", "publish.mjs", tmp_path / "posts.jsonl"]
    told = subprocess.run(command, cwd=node_packages, env=environment(redis_url), timeout=60, capture_output=True, text=True)

    assert told.returncode == 1
    assert "stopped with 0 posts" in told.stderr


def test_the_python_example_publishes_a_post(redis: Redis, redis_url: str, queued: Queued) -> None:
    subprocess.run([sys.executable, "-c", block("python")], env=environment(redis_url), check=True, timeout=30)

    assert queued() == [Post(id="python-1", text=TEXT, source="forum", author="ada")]


def test_the_python_program_publishes_a_post(redis: Redis, redis_url: str, queued: Queued) -> None:
    command = [sys.executable, ROOT / "examples" / "publish_without_modq.py", "7", "hello there"]
    subprocess.run(command, env=environment(redis_url), check=True, timeout=30)

    assert queued() == [Post(id="7", text="hello there", source="forum")]


@pytest.fixture
def publisher_url(redis: Redis, redis_url: str) -> str:
    """The queue, for the user that the document makes."""
    [command] = re.findall(r"^ACL SETUSER .*$", DOCUMENT, re.M)
    words = shlex.split(command)
    redis.execute_command(*words)
    parts = urlsplit(redis_url)
    return parts._replace(netloc=f"{words[2]}:{words[4][1:]}@{parts.hostname}:{parts.port}").geturl()


def test_the_user_of_the_document_can_publish_and_nothing_else(publisher_url: str, queued: Queued) -> None:
    with Producer(publisher_url) as producer:
        producer.submit(Post(id="1", text="a"))
    with Redis.from_url(publisher_url) as client:
        for forbidden in (["XRANGE", "modq:posts:live", "-", "+"], ["DEL", "modq:posts:live"], ["XADD", "other", "*", "a", "b"]):
            with pytest.raises(Exception, match="permission"):
                client.execute_command(*forbidden)

    assert len(queued()) == 1


@pytest.mark.node
def test_the_user_of_the_document_can_publish_from_node(publisher_url: str, queued: Queued, node_packages: Path) -> None:
    (node_packages / "from-the-document.mjs").write_text(block("js"))
    subprocess.run(["node", "from-the-document.mjs"], cwd=node_packages, env=environment(publisher_url), check=True, timeout=30)

    assert len(queued()) == 1


def table(header: str) -> list[list[str]]:
    """The cells of the table whose header begins so."""
    [body] = re.findall(rf"^\| {header} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", DOCUMENT, re.M)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in body.splitlines()]


def test_the_table_of_fields_names_those_of_a_post() -> None:
    assert {row[0].strip(" `") for row in table("field")} == FIELDS | {"v"}


def test_the_table_of_reasons_names_every_one_that_an_entry_can_have() -> None:
    documented = {row[0].strip(" `") for row in table("reason")}
    code = Path(modq.post.__file__).read_text()
    in_code = set(re.findall(r'InvalidPost\("(\w+)"', code)) | set(re.findall(r'"(invalid_\w+)" if', code)) | {"invalid_field"}

    assert documented == in_code - {"unknown_lane"} | {"not_an_entry"}


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{MAX_TEXT_CHARS:,} characters" in DOCUMENT
    assert f"{MAX_METADATA_BYTES:,} bytes" in DOCUMENT
    assert f"{MAX_ENTRY_BYTES // 2**20} MiB" in DOCUMENT
    for name, limit in modq.post._LIMITS.items():
        [row] = [row for row in table("field") if row[0].strip(" `") == name]
        assert f"1 to {limit} " in row[-1]

"""docker-compose.yml and the Dockerfile agree with the specification, with each other and with the code."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from redis.connection import parse_url
from sqlalchemy import make_url
from tests.compose_file import ROOT, Missing, raw, rendered

from modq.signature import sign
from modq_worker.settings import Settings

FILES = ("docker-compose.yml", "docker-compose.gpu.yml")
SECRETS = {"MODQ_REDIS_PASSWORD": "first-password", "MODQ_POSTGRES_PASSWORD": "second-password"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = rendered(SECRETS)["services"]
    return found


def our_own(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if service["image"].startswith("modq:")}


@pytest.mark.parametrize("name", FILES)
def test_the_file_follows_the_compose_specification(name: str) -> None:
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", name)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("forgotten", SECRETS)
def test_without_a_secret_the_reader_is_told_what_to_do(forgotten: str) -> None:
    with pytest.raises(Missing, match=f"{forgotten}: run docker/make-env"):
        rendered({name: value for name, value in SECRETS.items() if name != forgotten})


def test_every_secret_comes_from_outside() -> None:
    text = json.dumps([raw(name) for name in FILES])
    assert re.findall(r'(?i)"[^"]*(?:password|_auth|secret)[^"]*": "(?!\$\{)[^"]*"', text) == []
    assert re.findall(r"\w+://[^@/\s\"]*:(?!\$\{)[^@/\s\"]+@", text) == []


def test_make_env_makes_fresh_secrets_for_this_user_alone_and_keeps_what_is_there(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        shutil.copytree(ROOT / "docker", tmp_path / name / "docker")
        shutil.copy(ROOT / ".env.example", tmp_path / name)
        subprocess.run([tmp_path / name / "docker/make-env"], cwd=tmp_path, check=True, timeout=10)
        written.append((tmp_path / name / ".env").read_text())
    passwords = re.findall(r"^(\w+)_PASSWORD=([0-9a-f]{48})$", "".join(written), re.MULTILINE)
    assert len({password for _, password in passwords}) == 2 * len(SECRETS)
    webhook = re.findall(r"^MODQ_FORUM_SECRET=(whsec_.+)$", "".join(written), re.MULTILINE)
    assert len(set(webhook)) == 2
    assert sign(webhook[0], "msg_1", 1, b"body") != sign(webhook[1], "msg_1", 1, b"body")
    assert stat.S_IMODE((tmp_path / "one/.env").stat().st_mode) == 0o600
    again = subprocess.run([tmp_path / "one/docker/make-env"], check=False, capture_output=True, timeout=10)
    assert (again.returncode != 0, (tmp_path / "one/.env").read_text()) == (True, written[0])


def test_what_is_waited_for_can_come_true(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            if wait["condition"] == "service_completed_successfully":
                assert services[name]["restart"] == "no"


def test_connections_name_the_services_and_carry_the_passwords(services: dict[str, Any]) -> None:
    for service in our_own(services).values():
        queue = parse_url(service["environment"]["MODQ_REDIS_URL"])
        assert queue["host"] in services
        assert queue["password"] == SECRETS["MODQ_REDIS_PASSWORD"]
    for service in our_own(services).values():
        if url := service["environment"].get("MODQ_DATABASE_URL"):
            store, postgres = make_url(url), services["postgres"]["environment"]
            assert store.host in services
            assert store.password == postgres["POSTGRES_PASSWORD"] == SECRETS["MODQ_POSTGRES_PASSWORD"]
            assert (store.username, store.database) == (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"])


def test_every_modq_variable_is_a_setting(services: dict[str, Any]) -> None:
    known = {f"MODQ_{name.upper()}" for name in Settings.model_fields} | {"MODQ_FORUM_SECRET"}
    gpu = rendered({}, "docker-compose.gpu.yml")["services"]["worker"]["environment"]
    dockerfile = re.findall(r"\b(MODQ_\w+)=", (ROOT / "docker/Dockerfile").read_text())
    used = {name for service in our_own(services).values() for name in service["environment"]} | {*gpu, *dockerfile}
    assert {name for name in used if name.startswith("MODQ_")} - known == set()


def test_our_containers_have_no_rights_they_do_not_need(services: dict[str, Any]) -> None:
    for service in our_own(services).values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_gpu_file_changes_the_worker_alone(services: dict[str, Any]) -> None:
    override = rendered({}, "docker-compose.gpu.yml")["services"]
    assert list(override) == ["worker"]
    assert override["worker"]["image"] not in {service["image"] for service in services.values()}
    assert override["worker"]["environment"] == {"MODQ_DEVICE": "cuda"}


# The Dockerfile


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n(?:#.*\n)*", " ", (ROOT / "docker/Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def copied() -> list[str]:
    """What is copied into the image from the repository."""
    words = [rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    return [source for sources in words for source in sources[:-1]]


def sent_to_the_build() -> set[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line[1:] for line in lines if line.startswith("!")}


def test_what_is_copied_exists_and_is_sent_to_the_build() -> None:
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert set(copied()) == sent_to_the_build()
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_all_that_a_wheel_is_made_of_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    sources = [*wheel["packages"], *wheel["force-include"], project["project"]["readme"], *project["project"]["license-files"]]
    assert [source for source in sources if source.split("/")[0] not in copied()] == []


def test_build_arguments_are_declared_and_the_image_bears_the_version(services: dict[str, Any]) -> None:
    declared = {rest.partition("=")[0] for word, rest in instructions() if word == "ARG"}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for service in [*our_own(services).values(), *raw("docker-compose.gpu.yml")["services"].values()]:
        assert set(service["build"]["args"]) <= declared
        assert service["image"].removeprefix("modq:").removesuffix("-cuda") == version


def test_every_shell_line_of_the_build_is_valid() -> None:
    for word, rest in instructions():
        if word == "RUN":
            subprocess.run(["sh", "-n", "-c", re.sub(r"^--mount=\S+\s+", "", rest)], check=True, timeout=10)


def test_the_image_does_not_run_as_root() -> None:
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users[-1].isdigit()
    assert int(users[-1]) > 0

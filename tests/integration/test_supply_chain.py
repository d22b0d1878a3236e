"""What is installed is pinned and listed, and a known vulnerability stops a change unless somebody says why not."""

from __future__ import annotations

import http.server
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools"


# Pins


def installed(name: str, extras: frozenset[str]) -> dict[str, str]:
    """The versions of all that these extras of a distribution bring here."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while waiting:
        if (item := waiting.pop()) in seen:
            continue
        seen.add(item)
        try:
            here = distribution(item[0])
        except PackageNotFoundError:
            pytest.fail(f"{item[0]} is asked for and not installed: python3 run.py setup")
        found[item[0]] = here.version
        for line in here.requires or []:
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": item[1]}):
                waiting += [(canonicalize_name(wanted.name), extra) for extra in ("", *wanted.extras)]
    return found


def test_every_distribution_of_the_extras_is_pinned_to_the_version_that_is_here() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = [Requirement(line) for line in lines]
    assert [str(pin) for pin in pins if [each.operator for each in pin.specifier] != ["=="] or "*" in str(pin.specifier)] == []
    applying = {canonicalize_name(pin.name): pin for pin in pins if pin.marker is None or pin.marker.evaluate()}
    here = installed("modq", frozenset({"worker", "read", "train", "dev"}))
    # pip is what installs; modq is what is installed.
    here = {name: version for name, version in here.items() if name not in ("modq", "pip")}
    assert len(here) > 80
    assert sorted(here.keys() - applying.keys()) == []
    assert [f"{name} {version}" for name, version in here.items() if not applying[name].specifier.contains(version.partition("+")[0])] == []


# Known vulnerabilities


@contextmanager
def osv(**known: dict[str, Any]) -> Iterator[str]:
    """A database that knows of these vulnerabilities, by the name of the package."""

    class Database(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.dumps({"vulns": [vulnerability]} if (vulnerability := known.get(query["package"]["name"])) else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def vulnerability(package: str) -> dict[str, Any]:
    affected = {
        "package": {"name": package, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0"}]}],
        "versions": ["1.0"],
    }
    return {"id": "GHSA-test-test-test", "aliases": ["CVE-2026-1"], "summary": "runs code", "modified": "2026-01-01T00:00:00Z", "affected": [affected]}


def audit(folder: Path, url: str, accepted: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "constraints.txt").write_text("harmless==1.0\nharmful==1.0\n")
    (folder / "accepted.txt").write_text(accepted)
    words = ["--constraints", folder / "constraints.txt", "--accepted", folder / "accepted.txt", "--osv-url", url]
    return subprocess.run([sys.executable, TOOLS / "audit.py", *words], capture_output=True, text=True, timeout=120, check=False)


def test_pins_without_a_known_vulnerability_pass(tmp_path: Path) -> None:
    with osv() as url:
        done = audit(tmp_path, url)
    assert (done.returncode, done.stdout) == (0, "audit: 2 packages looked up, 0 vulnerabilities to see to.\n")


def test_a_known_vulnerability_fails_and_says_where_it_is_mended(tmp_path: Path) -> None:
    with osv(harmful=vulnerability("harmful")) as url:
        done = audit(tmp_path, url)
    assert done.returncode == 1
    assert "harmful 1.0: CVE-2026-1, GHSA-test-test-test (mended in: 9.0)" in done.stdout
    assert "NOT ACCEPTED" in done.stdout


@pytest.mark.parametrize("id", ["GHSA-test-test-test", "CVE-2026-1"])
def test_one_that_is_accepted_with_a_reason_passes_until_its_day(tmp_path: Path, id: str) -> None:
    with osv(harmful=vulnerability("harmful")) as url:
        passes = audit(tmp_path, url, f"# why\n{id} until 2999-01-01: we never call it\n")
        late = audit(tmp_path, url, f"{id} until 2001-01-01: we never call it\n")
    assert passes.returncode == 0
    assert "accepted: we never call it" in passes.stdout
    assert late.returncode == 1


def test_a_database_that_is_away_is_told_aloud_and_stops_nobody(tmp_path: Path) -> None:
    done = audit(tmp_path, "http://127.0.0.1:1/v1/query")
    assert done.returncode == 0
    assert done.stdout.startswith("audit: COULD NOT RUN")
    assert "127.0.0.1" in done.stdout


@pytest.mark.parametrize("line", ["GHSA-1", "GHSA-1: no day", "GHSA-1 until tomorrow: no such day", "GHSA-1 until 2999-01-01:", "x until 2999-01-01 y: z"])
def test_nothing_is_accepted_without_a_day_and_a_reason(line: str) -> None:
    tool = _tool("audit")
    with pytest.raises(tool.WrongList, match="line 2"):
        tool.read_accepted(f"# first\n{line}\n", date(2026, 1, 1))


def test_the_projects_own_list_can_be_read() -> None:
    _tool("audit").read_accepted((TOOLS / "accepted-vulnerabilities.txt").read_text(), date.today())


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Bill of materials


def test_the_bill_of_materials_lists_all_that_is_installed_and_nothing_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    done = subprocess.run([sys.executable, TOOLS / "sbom.py", file], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    bill = json.loads(file.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "modq"
    listed = {canonicalize_name(component["name"]): component["version"] for component in bill["components"]}
    expected = installed("modq", frozenset({"worker"}))
    del expected["modq"]
    assert {name: listed.get(name) for name in expected} == expected
    assert str(ROOT) not in file.read_text()

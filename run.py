#!/usr/bin/env python3
"""Set modq up in this folder, and run it.

    python3 run.py demo              see the whole of modq at work
    python3 run.py test [ARGUMENTS]  run the tests; ARGUMENTS are pytest's
    python3 run.py setup             only make the environment, with everything for development
    python3 run.py COMMAND ...       any command of modq: up, submit, verdicts, classify, --help ...

Needs Python 3.11 or newer and nothing else. The environment is .venv beside this file; it is made the first time,
completed if it was left half-made, and brought up to date when constraints.txt or pyproject.toml changed.

    python3 run.py --torch cpu COMMAND            the small build of PyTorch, from its own index, for machines without a GPU
    python3 run.py --torch cuda COMMAND           the build for NVIDIA GPUs (gigabytes)
    python3 run.py --torch as-configured COMMAND  whatever your pip finds

Without --torch it is cpu on a Linux machine without an NVIDIA GPU, and as-configured where there is one, where pip is
configured with an index or links of your own, and where PyTorch's index cannot be reached.
"""
# Standard library only, and, down to the check of the version, nothing that an old Python 3 cannot read.

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "modq.json"
LOG = VENV / "modq-install.log"
OLDEST = (3, 11)
TORCH = ("cpu", "cuda", "as-configured")
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
EXTRAS = ("worker", "dev")
# Most tests wait for processes to start, so several at a time are quicker; each file stays together with its servers.
WHOLE_SUITE = ("-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile")


def main(words):
    need_python()
    torch, words = read_torch(words)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if words else 2
    set_up("dev" if words[0] in ("test", "setup", "fine-tune", "evaluate") else "worker", torch)
    if words[0] == "setup":
        print("Ready: python3 run.py demo, python3 run.py test")
        return 0
    if words[0] == "test":
        os.chdir(ROOT)
        return run([PYTHON, "-m", "pytest", *(words[1:] or WHOLE_SUITE)])
    return run([PYTHON, "-m", "modq", *words])


def need_python():
    """Go on with a newer Python if this one is too old and there is one."""
    if sys.version_info >= OLDEST:
        return
    for minor in range(20, OLDEST[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, *sys.argv])  # noqa: S606
    sys.exit(f"modq needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}.")


def read_torch(words):
    if words[:1] == ["--torch"]:
        if len(words) < 2 or words[1] not in TORCH:
            sys.exit(f"run.py: --torch takes one of {', '.join(TORCH)}")
        return words[1], words[2:]
    return None, words


def run(command):
    """Become ``command``, so that it gets every signal; it is told where its stack is, and what the user typed."""
    environment = dict(os.environ)
    environment["MODQ_CALLED_AS"] = f"python3 {shlex.quote(sys.argv[0])}"
    if Path.cwd() != ROOT:
        environment.setdefault("MODQ_HOME", str(ROOT / ".modq"))
    sys.stdout.flush()
    os.execve(command[0], [str(word) for word in command], environment)  # noqa: S606


def set_up(extra, torch):
    """Make the environment hold ``extra``; quick when it does already."""
    import fcntl

    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another run.py that sets this folder up ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        have = read_stamp()
        same_torch = torch is None or torch == have.get("torch")
        if have.get("made_from") == made_from() and extra in have.get("extras", ()) and same_torch and PYTHON.exists():
            return
        install(extra, torch, have)


def install(extra, torch, have):
    began = time.monotonic()
    extra = "dev" if "dev" in have.get("extras", ()) else extra
    STAMP.unlink(missing_ok=True)
    fresh = not works([PYTHON, "-m", "pip", "--version"])
    if fresh:
        make_venv()
    try:
        install_packages(extra, torch, have)
    except Failed:
        if fresh:
            raise
        # What an interrupted run left behind is not worth believing.
        make_venv()
        install_packages(extra, torch, {})
    extras = EXTRAS[: EXTRAS.index(extra) + 1]
    STAMP.write_text(json.dumps({"made_from": made_from(), "extras": extras, "torch": torch or have.get("torch")}))
    print(f"Set up in {time.monotonic() - began:.0f} s.", flush=True)


def make_venv():
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.exit(f"This Python cannot make environments. On Debian and Ubuntu this helps: sudo apt install python{version}-venv")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Failed(f"The environment {VENV} could not be made:\n{made.stdout.strip()}")


def install_packages(extra, torch, have):
    LOG.write_text("")
    pip = [PYTHON, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    packages = [*pip, "install", "--no-compile", "--progress-bar", "off", "-c", "constraints.txt"]
    if torch and torch != have.get("torch"):
        follow("Removing the other build of PyTorch", [*pip, "uninstall", "--yes", "torch"])
    if (torch or chosen_torch()) == "cpu":
        follow("Installing PyTorch for CPUs, some 200 MB", [*packages, "--extra-index-url", TORCH_CPU_INDEX, "torch"])
    follow(f"Installing modq[{extra}], a minute or two the first time", [*packages, "-e", f".[{extra}]"])
    follow("Fetching the base model, 84 MB", [PYTHON, "-m", "modq", "backbone", "fetch"])


def chosen_torch():
    """The build of PyTorch for this machine; whoever configured pip has chosen already."""
    if sys.platform != "linux" or shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists() or pip_is_configured():
        return "as-configured"
    try:
        urllib.request.urlopen(f"{TORCH_CPU_INDEX}/torch/", timeout=5).close()  # noqa: S310
    except OSError:
        print("No GPU is seen, but PyTorch's own index cannot be reached: taking the build that pip finds.", flush=True)
        return "as-configured"
    return "cpu"


def pip_is_configured():
    found = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    settings = {line.partition("=")[0].rpartition(".")[2] for line in found.splitlines()}
    return bool(settings & {"index-url", "extra-index-url", "find-links", "no-index"})


class Failed(Exception):
    """A step of the set-up failed, and why."""


def follow(step, command):
    """Run one step, its output kept in the log and its newest line shown; raises Failed with the log's end."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET")}
    environment.update(PIP_USER="0", PYTHONUNBUFFERED="1")
    with Progress(step) as progress, LOG.open("a") as log:
        log.write(f"\n{step}: {shlex.join(map(str, command))}\n")
        words, pipes = [str(word) for word in command], {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(words, cwd=ROOT, env=environment, text=True, errors="replace", **pipes)
        try:
            for line in process.stdout:
                log.write(line)
                progress.newest = line.strip() or progress.newest
            status = process.wait()
        finally:
            process.kill()
            process.stdout.close()
    if status:
        raise Failed(f"{step} failed; {LOG} tells all, and ends with:\n" + "\n".join(LOG.read_text().splitlines()[-25:]))


class Progress:
    """One line that says what goes on and for how long; on a terminal it moves."""

    def __init__(self, step):
        self.newest = ""
        self._step = step
        self._began = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self):
        print(f"{self._step} ...", flush=True, end="" if sys.stdout.isatty() else "\n")
        if sys.stdout.isatty():
            self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        if sys.stdout.isatty():
            print(f"\r\033[K{self._step}: {time.monotonic() - self._began:.0f} s", flush=True)

    def _show(self):
        while not self._done.wait(0.25):
            width = shutil.get_terminal_size().columns - 1
            line = f"{self._step} ... {time.monotonic() - self._began:.0f} s  {self.newest}"
            print(f"\r\033[K{line[:width]}", end="", flush=True)


def made_from():
    """What the environment depends on: the pins, the extras, this Python, and the folder, whose path it holds."""
    digest = hashlib.sha256()
    for part in ((ROOT / "constraints.txt").read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode(), sys.version.encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def read_stamp():
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}


def works(command):
    try:
        return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failure:
        sys.exit(str(failure))
    except KeyboardInterrupt:
        sys.exit(130)

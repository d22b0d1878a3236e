"""kill -9 at a point of the code, so often in one world and no more."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def die(point: str, times: int = 1) -> None:
    """End this process as kill -9 does, unless that many have died at the point; ``FAULT_MARKS`` is the folder in which they say so."""
    for number in range(times):
        try:
            os.close(os.open(Path(os.environ["FAULT_MARKS"]) / f"died-{point}-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)

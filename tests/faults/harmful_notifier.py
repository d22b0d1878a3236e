"""The real notifier, that dies between the POST and its record where it is told to."""

from __future__ import annotations

import os
import sys
from typing import Any

from tests.faults.deaths import die

from modq.cli import main
from modq_worker.webhook import WebhookSender

DEATHS = 3


def die_after_the_post() -> None:
    """Let webhooks arrive, and die before anybody has noted that they did; so often in one world."""
    send = WebhookSender.send
    answered = 0

    async def send_and_die(*arguments: Any) -> Any:
        nonlocal answered
        answer = await send(*arguments)
        answered += answer.status == 204
        if answered >= 5:
            die("after_post", times=DEATHS)
        return answer

    WebhookSender.send = send_and_die  # type: ignore[method-assign]


if __name__ == "__main__":
    if "after_post" in os.environ.get("FAULT_AT", "").split():
        die_after_the_post()
    sys.exit(main(["notify"]))

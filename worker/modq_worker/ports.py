"""Free ports for the embedded servers."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A loopback port that nobody listens on, from below the range of outgoing connections.

    In that range, a client that calls a server which is down can be given the server's own port, connect to itself,
    and keep the server from starting again.
    """
    for _ in range(1000):
        port = random.randint(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port between 20000 and 32000 is free")

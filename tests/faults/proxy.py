"""A TCP proxy between modq and a server that can be told to misbehave."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Literal

Mode = Literal["pass", "stall", "swallow", "refuse"]


class FaultProxy:
    """Forwards connections to a port of this machine.

    In mode ``stall`` nothing moves and nobody is told (as when a cable is pulled; what was sent arrives after it);
    in ``swallow`` the server hears and its answers vanish; in ``refuse`` connections are cut as soon as they are made.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._moving = threading.Event()
        self._mode: Mode = "pass"
        self._moving.set()
        self._sockets: set[socket.socket] = set()
        self._abandoned: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def become(self, mode: Mode) -> None:
        """Behave like this from now on, on open connections too."""
        self._mode = mode
        self._moving.clear() if mode == "stall" else self._moving.set()
        if mode == "refuse":
            self.reset()

    def reset(self) -> None:
        """Cut every open connection with a TCP reset."""
        for open_socket in list(self._sockets):
            _reset(open_socket)

    def abandon_open_connections(self) -> None:
        """Never move a byte on them again, and tell nobody; connections made from now on work."""
        self._abandoned |= self._sockets

    def close(self) -> None:
        """Forward no more."""
        self.become("refuse")
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                if self._mode == "refuse":
                    _reset(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._upstream), timeout=2)
                server.settimeout(None)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                with contextlib.suppress(OSError, UnboundLocalError):
                    _reset(client)
                continue
            self._sockets |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._moving.wait()
                if source not in self._abandoned and not (answers and self._mode == "swallow"):
                    target.sendall(data)
        for end in (source, target):
            self._sockets.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _reset(open_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Lingering for no time makes close send RST instead of FIN; shutdown wakes the thread that reads it.
        open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        open_socket.shutdown(socket.SHUT_RDWR)
        open_socket.close()

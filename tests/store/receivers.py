"""A real HTTP server that receives webhooks, checks them by the Standard Webhooks package, and answers as it is told."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

from modq.signature import new_secret

Handler = http.server.BaseHTTPRequestHandler


@dataclass(frozen=True)
class Received:
    """One webhook whose signature was right."""

    id: str
    timestamp: str
    body: bytes
    event: dict[str, Any]
    at: float


@dataclass
class Receiver:
    """What arrived at `url`; `answer(handler, count)` writes the response to the webhook number `count`."""

    url: str = ""
    secret: str = field(default_factory=new_secret)
    received: list[Received] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def wait_for(self, count: int, seconds: float = 15) -> list[Received]:
        """The first `count` webhooks, once they are here."""
        until = time.monotonic() + seconds
        while len(self.received) < count and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.received) >= count, f"{len(self.received)} of {count} webhooks arrived; refused: {self.refused}"
        return self.received[:count]

    def keep(self, handler: Handler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        try:
            event = Webhook(self.secret).verify(body, dict(handler.headers))
        except Exception as error:
            self.refused.append(repr(error))
            raise
        self.received.append(Received(handler.headers["webhook-id"], handler.headers["webhook-timestamp"], body, event, time.monotonic()))


Answer = Callable[[Handler, int], None]


def status(*codes: int, **headers: str) -> Answer:
    """Answer with these statuses in turn, and with the last one for ever after."""

    def answer(handler: Handler, count: int) -> None:
        handler.send_response(codes[min(count, len(codes)) - 1])
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return answer


def silence(seconds: float = 30) -> Answer:
    """Take the webhook and say nothing for so long."""
    return lambda handler, count: time.sleep(seconds)


@contextmanager
def receiving(answer: Answer | None = None) -> Iterator[Receiver]:
    receiver = Receiver()
    respond = answer or status(204)

    class Endpoint(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.paths.append(self.path)
            receiver.keep(self)
            respond(self, len(receiver.received))

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that left, or a webhook that was refused, which `refused` tells."""

    with Server(("127.0.0.1", 0), Endpoint) as server:
        server.daemon_threads = True
        server.block_on_close = False
        receiver.url = f"http://127.0.0.1:{server.server_port}/hooks/modq"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads the request and then does whatever `talk` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=converse, args=[connection], daemon=True).start()
            except OSError:
                pass

        def converse(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65536)
                    talk(connection)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        listener.shutdown(socket.SHUT_RDWR)


def drip(first: bytes, piece: bytes, every: float) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(10_000_000):
            connection.sendall(piece)
            if every:
                time.sleep(every)

    return talk

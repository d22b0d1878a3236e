"""A server that speaks OpenAI's chat protocol and answers as it is told, in the place of a language model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[str], str]


@dataclass
class ChatStub:
    """What it was asked, and what it does before it answers."""

    url: str
    prompts: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    """Statuses to answer with first, one a request."""


@contextmanager
def chat_stub(reply: Reply) -> Iterator[ChatStub]:
    """``reply`` gets the user's message and gives the model's."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body: Any = json.loads(self.rfile.read(int(self.headers["content-length"])))
            prompt = body["messages"][-1]["content"]
            with lock:
                stub.prompts.append(prompt)
                stub.keys.append(self.headers.get("authorization"))
                status = stub.failures.pop(0) if stub.failures else 200
            if self.path != "/v1/chat/completions" or body["model"] != "stub":
                status = 404
            said = {"choices": [{"message": {"role": "assistant", "content": reply(prompt)}}], "usage": {"prompt_tokens": 100, "completion_tokens": 50}}
            content = json.dumps(said if status == 200 else {"error": {"message": "no"}}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            if status == 429:
                self.send_header("retry-after", "7")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = ChatStub(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

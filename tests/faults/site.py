"""A site that receives the flags of a world, verifies each, and remembers how often it came."""

from __future__ import annotations

import http.server
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from modq import open_flag
from modq.signature import new_secret


@dataclass
class Site:
    """Answers every webhook with 204."""

    secret: str = field(default_factory=new_secret)
    tolerance: int = 300
    """Seconds that its clock and the notifier's may differ."""
    seconds: float = 0.0
    """How long it takes over an answer."""
    heard: Counter[str] = field(default_factory=Counter)
    """How often each webhook id came."""
    ids_of_post: dict[str, set[str]] = field(default_factory=dict)

    def start(self) -> str:
        """Listen; returns the URL."""
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                flag = open_flag(site.secret, dict(self.headers), body, tolerance=site.tolerance)
                site.heard[self.headers["webhook-id"]] += 1
                site.ids_of_post.setdefault(flag.post_id, set()).add(self.headers["webhook-id"])
                time.sleep(site.seconds)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def stop(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.server.server_close()

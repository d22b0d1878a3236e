"""A pretend forum that modq moderates, in the standard library and the light client: an example to copy from.

    MODQ_FORUM_SECRET=whsec_... python -m modq_worker.demo_forum --port 8000

A post appears at once, and is hidden when the webhook that flags it arrives.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final
from urllib.parse import parse_qs

from modq.errors import InvalidFlag, InvalidPost, QueueError
from modq.flag import Flag, open_flag
from modq.post import Post
from modq.producer import Producer

SOURCE: Final = "forum"
WEBHOOKS: Final = "/webhooks/modq"
_MOST_BYTES: Final = 64 * 1024
_POSTS_SHOWN: Final = 200


@dataclass
class Forum:
    """What the forum knows: its posts, and what modq told of them."""

    secret: str
    producer: Producer
    posts: list[Post] = field(default_factory=list)
    hidden: dict[tuple[str, str], float] = field(default_factory=dict)
    """The score of each post that was flagged, by source and id."""
    seen: set[str] = field(default_factory=set)
    received: int = 0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, author: str, text: str) -> None:
        """Publish a post: it is on the page first, so that a flag can never come too early."""
        post = Post(id=uuid.uuid4().hex[:12], text=text, source=SOURCE, author=author or None)
        with self.lock:
            self.posts.append(post)
        self.producer.submit(post)

    def receive(self, headers: list[tuple[str, str]], body: bytes) -> None:
        """Verify a webhook and hide the post that it flags; one that comes twice changes nothing."""
        with self.lock:
            self.received += 1
            try:
                flag = open_flag(self.secret, dict(headers), body)
            except InvalidFlag:
                self.refused += 1
                raise
            if flag.webhook_id not in self.seen:
                self.seen.add(flag.webhook_id)
                self._obey(flag)

    def _obey(self, flag: Flag) -> None:
        post = (flag.source, flag.post_id)
        if flag.type == "post.flagged":
            self.hidden[post] = flag.score
        elif flag.type == "post.passed":
            self.hidden.pop(post, None)

    def state(self) -> dict[str, object]:
        """What the forum has received, to be counted."""
        with self.lock:
            hidden = [{"source": source, "id": id, "score": score} for (source, id), score in self.hidden.items()]
            return {"received": self.received, "refused": self.refused, "events": len(self.seen), "hidden": hidden}

    def page(self) -> str:
        """The forum as its readers see it, newest first."""
        with self.lock:
            rows = [self._row(post) for post in reversed(self.posts[-_POSTS_SHOWN:])]
        return _PAGE.replace("<!--posts-->", "\n".join(rows))

    def _row(self, post: Post) -> str:
        author = html.escape(post.author or "somebody")
        if (score := self.hidden.get((post.source, post.id))) is not None:
            return f'<li class="hidden"><b>{author}</b> hidden by moderation (score {score:.2f})</li>'
        return f"<li><b>{author}</b> {html.escape(post.text)}</li>"


class _Visit(BaseHTTPRequestHandler):
    forum: ClassVar[Forum]
    timeout = 10

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, "text/html", self.forum.page())
        elif self.path == "/state.json":
            self._answer(200, "application/json", json.dumps(self.forum.state()))
        else:
            self._answer(404, "text/plain", "There is no such page.")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            self._answer(413, "text/plain", "Too long.")
            return
        body = self.rfile.read(int(length))
        if self.path == WEBHOOKS:
            self._webhook(body)
        elif self.path == "/":
            self._post(body)
        else:
            self._answer(404, "text/plain", "There is no such page.")

    def _webhook(self, body: bytes) -> None:
        try:
            self.forum.receive(self.headers.items(), body)
        except InvalidFlag:
            self._answer(400, "text/plain", "Not a webhook of ours.")
            return
        self._answer(200, "text/plain", "")

    def _post(self, body: bytes) -> None:
        form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        try:
            self.forum.say(form.get("author", "").strip(), form.get("text", ""))
        except (InvalidPost, QueueError) as error:
            self._answer(400 if isinstance(error, InvalidPost) else 503, "text/plain", str(error))
            return
        self.send_response(303)
        self.send_header("Location", "/")
        self.end_headers()

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: requests hold what people wrote."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def serve(host: str, port: int, secret: str) -> None:
    """Serve the forum until the process ends; its queue is ``MODQ_REDIS_URL``, or the ``modq up`` of this folder."""
    _Visit.forum = Forum(secret, Producer())
    with _Server((host, port), _Visit) as server:
        server.serve_forever()


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="15"><title>A pretend forum</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
ul { list-style: none; padding: 0 } li { border-top: 1px solid #ddd; padding: .5rem 0; overflow-wrap: anywhere }
.hidden { color: #767676; font-style: italic } input, textarea { font: inherit; width: 100%; box-sizing: border-box; margin: .2rem 0 }
</style></head><body>
<h1>A pretend forum</h1>
<p>Posts appear at once; one that modq finds toxic is hidden a moment later. The page looks for news every 15 seconds.</p>
<form method="post" action="/"><label>Name <input name="author" maxlength="200"></label>
<label>Post <textarea name="text" rows="3" required maxlength="20000"></textarea></label> <button>Say it</button></form>
<ul>
<!--posts-->
</ul></body></html>
"""


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="(default: %(default)s)")
    arguments = parser.parse_args()
    secret = os.environ.get("MODQ_FORUM_SECRET")
    if not secret:
        parser.exit(2, "Set MODQ_FORUM_SECRET to the secret of the forum's endpoint: modq endpoints add tells it.\n")
    serve(arguments.host, arguments.port, secret)


if __name__ == "__main__":
    main()

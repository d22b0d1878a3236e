"""Receive webhooks with the standard library and modq: MODQ_WEBHOOK_SECRET=whsec_... python receive_flags.py [PORT]."""

import os
import sys
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from modq import Flag, InvalidFlag, open_flag

LONGEST_BODY = 64 * 1024
REMEMBERED = 100_000

SECRET = os.environ["MODQ_WEBHOOK_SECRET"]
seen: OrderedDict[str, None] = OrderedDict()
"""The webhooks dealt with; a real site keeps them in its database, in the transaction that acts on the flag."""


def act_on(flag: Flag) -> None:
    """What the site does about a verdict: here it only tells."""
    print(f"{flag.label} {flag.score:.2f}  post {flag.post_id} of {flag.source}  (by {flag.author or 'somebody'})", flush=True)


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to flags, 400 to all else."""

    timeout = 10

    def do_POST(self) -> None:
        """Check, act once, and say so; the sender tries again after any answer but 2xx."""
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= LONGEST_BODY):
            return self.answer(400)
        try:
            flag = open_flag(SECRET, self.headers, self.rfile.read(int(length)))
        except InvalidFlag:
            return self.answer(400)
        if flag.webhook_id not in seen:
            act_on(flag)
            # After acting: if that fails, the sender comes again.
            remember(flag.webhook_id)
        return self.answer(204)

    def answer(self, status: int) -> None:
        """Answer without a body."""
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *words: object) -> None:
        """Be quiet: the flags are what matters."""


def remember(webhook_id: str) -> None:
    """Keep the newest ids."""
    seen[webhook_id] = None
    if len(seen) > REMEMBERED:
        seen.popitem(last=False)


def main() -> None:
    """Serve until Ctrl-C."""
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()

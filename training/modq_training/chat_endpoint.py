"""A language model behind an endpoint that speaks OpenAI's chat protocol: vLLM, Ollama, a vendor's."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from modq.errors import ModqError
from modq.secret_file import read_secret

KEY: Final = "MODQ_ENDPOINT_KEY"
_ATTEMPTS: Final = 6
_LONGEST_WAIT: Final = 60.0
_WORTH_ANOTHER_TRY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class EndpointFailed(ModqError):
    """The endpoint refused, or gave no answer that can be used, however often it was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, and the tokens that it took."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class ChatEndpoint:
    """Asks a model, over connections that end with ``with``; safe to use from several threads.

    Args:
        url: up to ``/v1``, as clients of the protocol take it.
        model: the name that the endpoint knows the model by.
        key: goes into the ``Authorization`` header, and nowhere else.
        timeout: seconds for one attempt.
        sleep: waits between attempts.
    """

    def __init__(self, url: str, model: str, *, key: str = "", timeout: float = 120, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointFailed("The endpoint's URL is not like https://host/v1.")
        self.model = model
        self._url = url.rstrip("/") + "/chat/completions"
        self._headers: dict[bytes | str, bytes | str] = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"
        self._timeout = {"connect": 10.0, "read": timeout, "write": timeout, "pool": timeout}
        self._sleep = sleep
        self._pool = httpcore.ConnectionPool(ssl_context=ssl.create_default_context())

    def __enter__(self) -> ChatEndpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.close()

    def ask(self, system: str, user: str, *, seed: int, temperature: float = 1.0) -> Answer:
        """The model's answer.

        Raises:
            EndpointFailed: it refused, or it could not be reached or was busy at every attempt.
        """
        body = json.dumps(
            {
                "model": self.model,
                "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
                "temperature": temperature,
                "seed": seed,
            }
        ).encode()
        trouble = ""
        for attempt in range(_ATTEMPTS):
            wait = min(_LONGEST_WAIT, 2.0**attempt)
            try:
                response = self._pool.request("POST", self._url, headers=self._headers, content=body, extensions={"timeout": self._timeout})
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
                trouble = f"could not be reached ({type(error).__name__})"
            else:
                if response.status == 200:
                    return _answer(response.content)
                trouble = f"answered {response.status}"
                if response.status not in _WORTH_ANOTHER_TRY:
                    break
                wait = _asked_wait(dict(response.headers), wait)
            if attempt < _ATTEMPTS - 1:
                self._sleep(wait)
        raise EndpointFailed(f"The endpoint {trouble}.")


def endpoint_key() -> str:
    """The key in ``MODQ_ENDPOINT_KEY``, or in the file that ``MODQ_ENDPOINT_KEY_FILE`` names; empty if there is neither.

    It is never taken from the command line, which other users of the machine can read.
    """
    if file := os.environ.get(f"{KEY}_FILE"):
        return read_secret(file, f"{KEY}_FILE")
    return os.environ.get(KEY, "")


def _answer(content: bytes) -> Answer:
    try:
        document: Any = json.loads(content)
        usage = document.get("usage") or {}
        text = document["choices"][0]["message"]["content"]
        return Answer(str(text or ""), int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise EndpointFailed("The endpoint's answer is not one of the chat protocol.") from None


def _asked_wait(headers: Mapping[bytes, bytes], otherwise: float) -> float:
    asked = {name.lower(): value for name, value in headers.items()}.get(b"retry-after", b"")
    return min(_LONGEST_WAIT, float(asked)) if asked.isdigit() else otherwise

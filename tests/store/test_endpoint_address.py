"""Only URLs that webhooks may be sent to become endpoints."""

from __future__ import annotations

import pytest

from modq_worker.endpoint_address import EndpointRules, InvalidEndpoint

PUBLIC, DEVELOPMENT = EndpointRules(), EndpointRules(allow_private=True)


@pytest.mark.parametrize("url", ["https://forum.example/hook", "https://forum.example:8443/a?b=c", "https://[2001:db8::1]/"])
def test_ordinary_urls_pass_unchanged(url: str) -> None:
    assert PUBLIC.check(url) == url


def test_http_is_for_development_only() -> None:
    assert DEVELOPMENT.check("http://127.0.0.1:8000/hook")
    with pytest.raises(InvalidEndpoint, match="https"):
        PUBLIC.check("http://127.0.0.1:8000/hook")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "forum.example/hook",
        "https://",
        "https:///hook",
        "https://user:s3cret@forum.example/",
        "https://@forum.example/",
        "https://forum.example:99999/",
        "https://forum.example:port/",
        "https://[::1/",
        "https://forum.example/\nhook",
        "https://forum.example/\x00",
        "https://forum.example/a b",
        "https://f\N{CYRILLIC SMALL LETTER O}rum.example/",
        "file:///etc/passwd",
        "gopher://forum.example/",
        "https://forum.example/" + "a" * 2000,
    ],
)
def test_anything_else_is_refused_in_words_that_do_not_repeat_it(url: str) -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        DEVELOPMENT.check(url)
    assert "s3cret" not in str(caught.value)

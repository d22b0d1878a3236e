"""Whether an endpoint's URL is one that modq will post to, and at which addresses."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from modq.errors import ModqError
from modq_worker.public_address import is_public
from modq_worker.settings import Settings

MAX_CHARS: Final = 2000

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host name, for connections to a port; it may block, and raises OSError when there are none."""


class InvalidEndpoint(ModqError, ValueError):
    """The URL is none that webhooks are sent to; the message never repeats it, since it may hold a password."""


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of ``host`` by the system's own look-up, each once, the preferred one first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """Where webhooks may go: checked when an endpoint is saved, and again each time one is sent."""

    allow_private: bool = False
    """Allow http, private addresses and any port: for development."""
    ports: frozenset[int] = frozenset({443, 8443})
    resolve: Resolve = look_up

    @classmethod
    def of(cls, configured: Settings) -> EndpointRules:
        """Those of the settings."""
        return cls(configured.allow_private_endpoints, frozenset(int(port) for port in configured.webhook_ports.split(",")))

    def check(self, url: str) -> str:
        """The URL, when it looks like one that webhooks may be sent to; looks no name up.

        Raises:
            InvalidEndpoint: and why.
        """
        # urlsplit drops tabs and newlines in silence, and clients disagree on what a backslash is.
        if len(url) > MAX_CHARS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise InvalidEndpoint(f"An endpoint's URL must be at most {MAX_CHARS} printable ASCII characters without spaces and backslashes.")
        parts = _split(url)
        self._check_scheme(parts)
        _check_host(parts)
        self._check_port(parts)
        if "#" in url:
            raise InvalidEndpoint("An endpoint's URL must not hold a fragment (#...): it would never be sent.")
        return url

    def check_to_save(self, url: str) -> str:
        """The URL, when webhooks may be sent to it and its host has public addresses only; looks its name up.

        Raises:
            InvalidEndpoint: and why; a name that cannot be resolved is refused too, since it is most likely misspelt.
        """
        parts = urlsplit(self.check(url))
        if not self.allow_private:
            self.addresses(str(parts.hostname), _port(parts))
        return url

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of the host, by one look-up, when webhooks may be sent to every one of them; it may block.

        Raises:
            InvalidEndpoint: it has none, or one that is not public.
        """
        try:
            found = [host] if _literal(host) else self.resolve(host, port)
        except OSError as error:
            raise InvalidEndpoint(f"The endpoint's host name cannot be resolved: {error.strerror or 'no reason given'}.") from None
        if not found:
            raise InvalidEndpoint("The endpoint's host name has no address.")
        # One bad address among good ones is refused too: whoever controls the name chooses which is used.
        if not self.allow_private and not all(is_public(address) for address in found):
            raise InvalidEndpoint("The endpoint's host has an address that is not public (for development, MODQ_ALLOW_PRIVATE_ENDPOINTS=true allows it).")
        return found

    def _check_scheme(self, parts: SplitResult) -> None:
        if parts.scheme not in (("https", "http") if self.allow_private else ("https",)):
            raise InvalidEndpoint("An endpoint's URL must begin with https:// (for development, MODQ_ALLOW_PRIVATE_ENDPOINTS=true allows http://).")

    def _check_port(self, parts: SplitResult) -> None:
        if not self.allow_private and _port(parts) not in self.ports:
            allowed = ", ".join(str(port) for port in sorted(self.ports))
            raise InvalidEndpoint(f"An endpoint's port must be one of {allowed}; MODQ_WEBHOOK_PORTS lists them.")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        _ = parts.port
    except ValueError:
        raise InvalidEndpoint("An endpoint's URL must look like https://forum.example/webhooks/modq") from None
    return parts


def _check_host(parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise InvalidEndpoint("An endpoint's URL must not hold a user or password: webhooks are signed instead.")
    host = parts.hostname
    if not host:
        raise InvalidEndpoint("An endpoint's URL must name a host.")
    if _literal(host):
        return
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise InvalidEndpoint("An endpoint's host must be a name of letters, digits, hyphens and single dots (others in Punycode), or an IP address.")
    # 127.1, 2130706433, 0x7f000001 and 0177.0.0.1 are addresses to most resolvers, and names to others.
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise InvalidEndpoint("An endpoint's IPv4 address must be four decimal numbers, such as 192.0.2.7.")


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def _port(parts: SplitResult) -> int:
    return parts.port if parts.port is not None else {"https": 443}.get(parts.scheme, 80)


_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

"""Whether an IP address is one of the public internet, where a webhook may go."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final


def is_public(address: str) -> bool:
    """Whether ``address``, as a name look-up gives it, leads to the public internet and nowhere else; nonsense does not.

    Not ``ipaddress.is_global``: that of Python 3.11 takes multicast, NAT64, 6to4 and others for global.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return not any(found in network for network in _INTERNAL_V4)
    return _is_public_v6(found)


def _is_public_v6(address: IPv6Address) -> bool:
    # Everything that modq could be led astray by lies outside the one block that is given out to sites: loopback, private
    # and link-local addresses, multicast, and those that embed an IPv4 address (::ffff:0:0/96, ::/96, 64:ff9b::/96 ...).
    return address.scope_id is None and address in _GIVEN_OUT and not any(address in network for network in _INTERNAL_V6)


_INTERNAL_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # public by number, but inside Azure the host itself
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)

_GIVEN_OUT: Final = IPv6Network("2000::/3")

_INTERNAL_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)

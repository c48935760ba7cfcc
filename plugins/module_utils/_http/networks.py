# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Which networks addresses are in, and connections to some networks only.

A redirect is the server's choice, so it must not lead from a public server to a host that only this machine can reach.
The address that is checked is the one that is connected to: a name may have another one a moment later.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Set
from typing import Callable
from urllib.parse import urlsplit

# How far a network reaches: a redirect must not lead to one that reaches less far.
_REACH = {"public": 2, "private": 1, "loopback": 0, "link_local": 0}

# IPv6 addresses that contain an IPv4 address, to which a gateway sends what is sent to them.
_TRANSLATED = tuple(ipaddress.ip_network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))

Resolve = Callable[[str], Iterable[str]]


class WrongNetwork(OSError):
    """A connection would lead into a network that is not allowed for it."""

    def __init__(self, address: str, network: str) -> None:
        super().__init__(errno.EACCES, f"its address {address} is in a {network.replace('_', '-')} network")
        self.network = network


def network_of(address: str) -> str:
    """Return the network of an address: C(public), C(private), C(loopback) or C(link_local)."""
    parsed = _plain(ipaddress.ip_address(address.partition("%")[0]))
    if parsed.is_loopback or parsed.is_unspecified:
        return "loopback"
    if parsed.is_link_local:
        return "link_local"
    return "public" if parsed.is_global and not getattr(parsed, "is_site_local", False) else "private"


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address in an IPv6 address that contains one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour  # type: ignore[return-value]
    if int(address) > 1 and any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def addresses_of(host: str) -> list[str]:
    """Return the addresses of a host; none when its name cannot be resolved here, as behind a proxy."""
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


class Networks:
    """Finds out which network a host is in: C(public), C(private), C(loopback), C(link_local), or C(unknown)."""

    def __init__(self, resolve: Resolve = addresses_of) -> None:
        self._resolve = resolve
        self._known: dict[str, str] = {}

    def of(self, url: str) -> str:
        """Return the network of a URL's host: of its addresses, the one that reaches least far."""
        host = urlsplit(url).hostname or ""
        if host not in self._known:
            found = {network_of(address) for address in self._resolve(host)}
            self._known[host] = min(found, key=_REACH.__getitem__) if found else "unknown"
        return self._known[host]


def reachable_from(network: str) -> Set[str] | None:
    """Return to which networks a redirect may lead from a network; None for any."""
    if network not in _REACH:
        return None
    return {network, *(each for each, reach in _REACH.items() if reach > _REACH[network])}


def addresses_within(host: str, port: int, networks: Set[str]) -> list[str]:
    """Return the addresses of a host to connect to. Raises WrongNetwork if any of them is in another network."""
    found = []
    for entry in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM):
        require_within(str(entry[4][0]), networks)
        found.append(str(entry[4][0]))
    return list(dict.fromkeys(found))


def require_within(address: str, networks: Set[str]) -> None:
    """Raise WrongNetwork if an address is in another network."""
    network = network_of(address)
    if network not in networks:
        raise WrongNetwork(address, network)

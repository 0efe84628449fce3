"""Limits a fetch to public addresses and those the operator allows.

Anybody who may submit can choose the URL. A worker runs inside the operator's network with
credentials within reach, so an unchecked URL is a way in (server-side request forgery).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from remotejob.builtin.fields import shown
from remotejob.builtin.refusals import FetchFailed, FetchRefused
from remotejob.builtin.urls import fetchable, is_host_name
from remotejob.domain.errors import InvalidData

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host, given a port."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")
_V4_COMPATIBLE: Final = IPv6Network("::/96")
_V4_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")

_NEVER_PUBLIC: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        # some Python versions take these for global (CVE-2024-4032, and newer registrations)
        "192.0.0.0/24",
        "192.88.99.0/24",
        str(_NAT64_LOCAL),
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)
_TEREDO: Final = IPv6Network("2001::/32")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where to connect, and the path to request."""

    scheme: str
    host: str
    port: int
    path: str
    """Including the query."""
    addresses: tuple[str, ...]
    """All checked: connect to these, and never resolve the name again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """One operator's rules."""

    hosts: frozenset[str]
    """Hosts that may have private addresses, but no link-local ones."""
    networks: tuple[Network, ...]
    """Networks whose addresses are all allowed."""
    ports: frozenset[int]
    resolve: Resolve = field(repr=False)

    def admit(self, url: str) -> Target:
        """Check a URL and every address of its host.

        Raises: FetchRefused; FetchFailed, when the host has no address at the moment.
        """
        wanted = fetchable(url)
        host = wanted.host
        if wanted.port not in self.ports:
            raise FetchRefused(
                f"{shown(url)}: port {wanted.port} is not one of {sorted(self.ports)}; "
                "the operator can add it to Fetch(ports=...)"
            )
        addresses = _parsed(host, self.resolve(host, wanted.port))
        for address in addresses:
            if not self._allowed(host, address):
                # do not name the address, or submitters could map the network
                raise FetchRefused(
                    f"{shown(url)}: its host has an address that is not public; "
                    "the operator can add it to Fetch(allow=...)"
                )
        return Target(
            scheme=wanted.scheme,
            host=host,
            port=wanted.port,
            path=wanted.path,
            addresses=tuple(str(address) for address in addresses),
        )

    def _allowed(self, host: str, address: Address) -> bool:
        plain = _unmapped(address)
        if any(plain in network for network in self.networks if network.version == plain.version):
            return True
        if host.rstrip(".") in self.hosts:
            return is_public(address) or (plain.is_private and not _may_be_local(address))
        return is_public(address)


def is_public(address: Address) -> bool:
    """Whether an address, and each IPv4 address embedded in it, is public."""
    return all(_is_public_itself(one) for one in (address, *_embedded(address)))


def _is_public_itself(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address in _NAT64 or address.ipv4_mapped is not None or address in _TEREDO
    ):
        return True  # as public as the embedded address
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not any(
            address in network for network in _NEVER_PUBLIC if network.version == address.version
        )
    )


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that packets to this address may reach.

    Source: RFC 4291, 2.5.5; RFC 2765 (translated); RFC 3056 (6to4); RFC 4380 (Teredo); RFC 6052
    (NAT64); RFC 5214, 6.1 (ISATAP).
    """
    if isinstance(address, IPv4Address):
        return
    in_last_bits = any(address in net for net in (_NAT64, _V4_COMPATIBLE, _V4_TRANSLATED))
    if in_last_bits or _is_isatap(address):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _is_isatap(address: IPv6Address) -> bool:
    """Whether it has ISATAP's interface id, with either value of its two flag bits."""
    return int(address) >> 32 & 0xFCFF_FFFF == 0x0000_5EFE


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _may_be_local(address: Address) -> bool:
    """Whether packets to it may reach this machine or its metadata service, by whatever way."""
    # where a local NAT64 prefix holds the IPv4 address is the network's choice (RFC 8215)
    if isinstance(address, IPv6Address) and address in _NAT64_LOCAL:
        return True
    return any(_is_local(one) for one in (address, *_embedded(address)))


def _is_local(address: Address) -> bool:
    """Whether it is this machine or its metadata service, which hands out credentials."""
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address == IPv6Address("fd00:ec2::254")
        or address == IPv6Address("fd00:ec2::23")
    )


def _parsed(host: str, found: Sequence[str]) -> list[Address]:
    if not found:
        raise FetchFailed(f"host {shown(host)} has no address")
    try:
        return [ip_address(text) for text in found]
    except ValueError:
        raise FetchRefused(f"host {shown(host)} has an invalid IP address") from None


def system_resolve(host: str, port: int) -> list[str]:
    """Resolve a host with the system's resolver.

    Raises: FetchFailed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise FetchFailed(f"host {shown(host)} cannot be resolved: {problem}") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def allowed(entries: Sequence[str]) -> tuple[frozenset[str], tuple[Network, ...]]:
    """Split entries into hosts and networks.

    Raises: InvalidData, when an entry is neither.
    """
    hosts: set[str] = set()
    networks: list[Network] = []
    for entry in entries:
        try:
            networks.append(ip_network(entry))
            continue
        except ValueError:
            name = entry.lower().rstrip(".")
        if "/" in entry or not is_host_name(name) or name.replace(".", "").isdecimal():
            raise InvalidData(
                f"allow: {entry!r} is neither a host name nor a network such as '10.1.0.0/16', "
                "whose bits after the prefix are zero"
            )
        hosts.add(name)
    return frozenset(hosts), tuple(networks)

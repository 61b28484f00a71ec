"""Who the client is, and what we tell the upstream about it (RFC 7239, X-Forwarded-*).

Forwarding fields are believed only when the connection comes from a trusted network, or through a unix socket where
``unix`` is trusted. From anybody else they are dropped, all of them, before ours are added.

*IPv4 inside IPv6* (``::ffff:a.b.c.d``, RFC 4291 §2.5.5.2), which is how a dual-stack listener names IPv4 clients, is
the IPv4 address wherever it is read: the peer, an entry of X-Forwarded-For, a network in the configuration.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.http.settings import ClientIp

_MAX_HOPS: Final = 32
_LISTS: Final = frozenset({b"x-forwarded-for", b"forwarded"})
# Those that are set aside from every request, and dropped where the peer is not trusted.
_USUAL: Final = _LISTS | {b"x-real-ip"}
# Commas and semicolons in a quoted text divide nothing; one without an end takes the rest with it.
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_ELEMENT: Final = re.compile(rb'(?:[^,"]|' + _QUOTED + rb")+")
_ENDED: Final = re.compile(rb'(?:[^"]|"(?:[^"\\]|\\.)*+")*+')
_PAIR: Final = re.compile(rb'(?:[^;"]|' + _QUOTED + rb")+")
UNIX: Final = "unix"
"""The peer at the other end of a unix socket, and what an operator writes to trust it."""
_UNKNOWN: Final = "unknown"
_NAMELESS: Final = frozenset({UNIX, _UNKNOWN})
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_MAPPED_BITS: Final = 96


class Trust:
    """Decides which peers are proxies of ours, and finds the client behind them."""

    __slots__ = ("_ipv6_prefix", "_networks", "_trusts_unix", "header", "is_trusted", "is_usual")

    def __init__(self, settings: ClientIp) -> None:
        self.header = settings.header.lower().encode("ascii")
        self.is_usual = self.header in _USUAL
        self._networks = [_network(text) for text in settings.trusted_proxies if text != UNIX]
        self._trusts_unix = UNIX in settings.trusted_proxies
        self._ipv6_prefix = settings.ipv6_prefix
        self.is_trusted = lru_cache(4096)(self._is_trusted) if settings.trusted_proxies else _never

    def _is_trusted(self, address: str) -> bool:
        if address == UNIX:
            return self._trusts_unix
        try:
            parsed = _parse(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client(self, peer: str, fields: Sequence[tuple[bytes, bytes]]) -> str:
        """The nearest address that is not a trusted proxy, read from the right; garbage ends the search.

        A field with a single address is believed when it has one: not when it has several that differ.
        """
        header = self.header
        values = [value for name, value in fields if len(name) == len(header) and name.lower() == header]
        if not values or not self.is_trusted(peer):
            return peer
        if header not in _LISTS:
            single = {_address(value.strip(b" \t")) for value in values}
            return (single.pop() if len(single) == 1 else "") or peer
        found = peer
        hops = _hops(values) if header == b"x-forwarded-for" else _elements(values)
        for hop in reversed(hops[-_MAX_HOPS:]):
            if not self.is_trusted(found):
                break
            address = _address(hop)
            if not address:
                break
            found = address
        return found

    def key(self, client: str) -> str:
        """What counts as one client: an IPv4 address, or an IPv6 prefix."""
        if ":" not in client:
            return client
        try:
            parsed = _parse(client)
        except ValueError:
            return client
        if isinstance(parsed, IPv6Address):
            return str(ip_network((parsed, self._ipv6_prefix), strict=False))
        return str(parsed)


def _never(_address: str) -> bool:
    return False


def _hops(values: Sequence[bytes]) -> list[bytes]:
    return [hop for hop in (part.strip(b" \t") for part in b",".join(values).split(b",")) if hop]


def _elements(values: Sequence[bytes]) -> list[bytes]:
    """The ``for`` of each element of Forwarded (RFC 7239 §4); ``unknown`` where there is none, or more than one.

    A client may begin a quoted text that takes in what its proxy appends. So an element with a quote that does not end
    names nobody, and neither does one line reach into the next.
    """
    found = []
    for element in (each for value in values for each in _ELEMENT.findall(value) if each.strip(b" \t")):
        pairs = (pair.partition(b"=") for pair in _PAIR.findall(element))
        nodes = [value.strip(b" \t") for name, _, value in pairs if name.strip(b" \t").lower() == b"for"]
        is_whole = _ENDED.fullmatch(element) is not None
        found.append(nodes[0] if is_whole and len(nodes) == 1 else b"unknown")
    return found


def _address(hop: bytes) -> str:
    """An address from one X-Forwarded-For entry, its port and brackets removed; empty when it is none."""
    text = hop.decode("latin-1").strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(_parse(text))
    except ValueError:
        return ""


def _parse(text: str) -> IPv4Address | IPv6Address:
    """An address; IPv4 inside IPv6 is IPv4. ValueError when it is none."""
    parsed = ip_address(text.partition("%")[0])
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def _network(text: str) -> IPv4Network | IPv6Network:
    """A network; one of IPv4 addresses inside IPv6 is one of IPv4."""
    parsed = ip_network(text)
    if isinstance(parsed, IPv6Network) and parsed.subnet_of(_MAPPED):
        address = parsed.network_address.ipv4_mapped
        return ip_network(f"{address}/{parsed.prefixlen - _MAPPED_BITS}")
    return parsed


def peer_address(peername: object) -> str:
    """The peer's IP address as text, ``unix`` for a unix socket; ``unknown`` when it had left before we looked."""
    if isinstance(peername, (str, bytes)):
        return UNIX
    if not isinstance(peername, tuple) or not peername:
        return _UNKNOWN
    address = str(peername[0])
    try:
        return str(_parse(address)) if ":" in address else address
    except ValueError:
        return address


def _node(address: str) -> str:
    if address in _NAMELESS:
        return _UNKNOWN  # RFC 7239 §6.2
    return f'"[{address}]"' if ":" in address else address


def fresh_identity(peer: str, scheme: str, host: str) -> bytes:
    """The forwarding fields for a client that is not trusted to bring its own."""
    lines = [] if peer in _NAMELESS else [f"X-Forwarded-For: {peer}\r\n"]
    lines.append(f"X-Forwarded-Proto: {scheme}\r\n")
    element = f"Forwarded: for={_node(peer)};proto={scheme}"
    if host:
        lines.append(f"X-Forwarded-Host: {host}\r\n")
        element += f';host="{host}"' if ":" in host else f";host={host}"
    return ("".join(lines) + element + "\r\n").encode("ascii")


def with_prefix(identity: bytes, prefix: bytes) -> bytes:
    """The same fields with ``X-Forwarded-Prefix``: the prefix that a proxy before us has taken away, and ours."""
    before = b""
    lines = []
    for line in identity.splitlines(keepends=True):
        name, _, value = line.partition(b":")
        if name.lower() == b"x-forwarded-prefix":
            before = before or value.strip().rstrip(b"/")
        else:
            lines.append(line)
    return b"".join((*lines, b"X-Forwarded-Prefix: ", before, prefix, b"\r\n"))


def extended_identity(peer: str, scheme: str, host: str, identity: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The forwarding fields for a trusted proxy: its own, extended by the proxy itself as the last hop."""
    pieces: list[bytes] = []
    joined: dict[bytes, bytes] = {}
    for name, value in identity:
        lower = name.lower()
        if lower in (b"x-forwarded-for", b"forwarded"):
            joined[lower] = joined[lower] + b", " + value if lower in joined else value
        else:
            joined.setdefault(lower, value)
            pieces += (name, b": ", value, b"\r\n")
    ours = dict(line.split(b": ", 1) for line in fresh_identity(peer, scheme, host).split(b"\r\n") if line)
    if b"X-Forwarded-For" not in ours and b"x-forwarded-for" in joined:  # a peer without an address adds none
        pieces += (b"X-Forwarded-For: ", joined[b"x-forwarded-for"], b"\r\n")
    for name, value in ours.items():
        before = joined.get(name.lower())
        if name in (b"X-Forwarded-For", b"Forwarded"):
            pieces += (name, b": ", value if before is None else before + b", " + value, b"\r\n")
        elif before is None:
            pieces += (name, b": ", value, b"\r\n")
    return b"".join(pieces)

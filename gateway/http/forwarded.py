"""Who the client is, and what we tell the upstream about it (RFC 7239, X-Forwarded-*).

Forwarding fields are believed only when the connection comes from a trusted network, or through a unix socket where
``unix`` is trusted. From anybody else they are dropped, all of them, before ours are added.

*IPv4 inside IPv6* (``::ffff:a.b.c.d``, RFC 4291 §2.5.5.2), which is how a dual-stack listener names IPv4 clients, is
the IPv4 address wherever it is read: the peer, an entry of X-Forwarded-For, a network in the configuration.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.http.settings import ClientIp

_MAX_HOPS: Final = 32
UNIX: Final = "unix"
"""The peer at the other end of a unix socket, and what an operator writes to trust it."""
_UNKNOWN: Final = "unknown"
_NAMELESS: Final = frozenset({UNIX, _UNKNOWN})
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_MAPPED_BITS: Final = 96


class Trust:
    """Decides which peers are proxies of ours, and finds the client behind them."""

    __slots__ = ("_ipv6_prefix", "_networks", "_trusts_unix", "is_trusted")

    def __init__(self, settings: ClientIp) -> None:
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

    def client(self, peer: str, identity: Sequence[tuple[bytes, bytes]]) -> str:
        """The nearest address that is not a trusted proxy, read from the right; garbage ends the search."""
        found = peer
        hops = _hops(identity)
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


def _hops(identity: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    joined = b",".join(value for name, value in identity if name.lower() == b"x-forwarded-for")
    return [hop for hop in (part.strip(b" \t") for part in joined.split(b",")) if hop]


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

"""Addresses as people write them: where to listen, and where endpoints are."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?\Z")
_LAST_PORT: Final = 65535
_LONGEST_SOCKET: Final = 107  # sun_path of Linux, without its closing NUL
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

LISTEN_RULE: Final = 'expected "host:port", "[address]:port" or "unix:/path"'
ENDPOINT_RULE: Final = 'expected "http://host:port", "https://host:port" or "unix:/path"'


class Address(NamedTuple):
    """``host`` without brackets and a port, or a socket's absolute path and port -1."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.port < 0 or self.host == "localhost":
            return True
        try:
            return _literal(self.host).is_loopback
        except ValueError:
            return False


def parse_listen(text: str) -> Address:
    """Read an address to listen on; port 0 = any free one. ValueError with the rule."""
    if text.startswith("unix:"):
        return _socket(text)
    return _authority(text, LISTEN_RULE, default=None, lowest=0)


def parse_endpoint(text: str) -> Address:
    """Read an endpoint's URL; ValueError with the rule."""
    if text.startswith("unix:"):
        return _socket(text)
    scheme, separator, authority = text.partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        raise ValueError(ENDPOINT_RULE)
    if "@" in authority:
        message = "expected no user name or password in an endpoint"
        raise ValueError(message)
    authority = authority.removesuffix("/")
    if re.search(r"[/?#]", authority):
        message = 'expected no path, query or fragment in an endpoint; a route\'s "rewrite" changes paths'
        raise ValueError(message)
    return _authority(authority, ENDPOINT_RULE, default=_DEFAULT_PORTS[scheme], lowest=1)


def _authority(text: str, rule: str, default: int | None, lowest: int) -> Address:
    host, separator, port_text = text.rpartition(":")
    if default is not None and (not separator or text.endswith("]")):
        host, port_text = text, str(default)
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or not lowest <= int(port_text) <= _LAST_PORT:
        message = f"{rule}, with a port in [{lowest}, {_LAST_PORT}]"
        raise ValueError(message)
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(IPv6Address(host[1:-1]).compressed, int(port_text))
        except ValueError:
            raise ValueError(rule) from None
    is_numbers = re.fullmatch(r"[0-9.]+", host) is not None
    if not _NAME.match(host) or (is_numbers and not _is_ipv4(host)):
        raise ValueError(rule)
    return Address(host, int(port_text))


def _socket(text: str) -> Address:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or path.endswith("/") or "\0" in path or len(path.encode()) > _LONGEST_SOCKET:
        message = f'expected "unix:" and an absolute path of at most {_LONGEST_SOCKET} bytes'
        raise ValueError(message)
    return Address(path, -1)


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _literal(text: str) -> IPv4Address | IPv6Address:
    if ":" not in text:
        return IPv4Address(text)
    address = IPv6Address(text)
    return address.ipv4_mapped or address

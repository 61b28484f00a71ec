"""Whom a drill is sent to, and whether that may be."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

import typer

from gateway.upstream.address import parse_address

if TYPE_CHECKING:
    from gateway.config.settings import Settings
    from gateway.upstream.address import Address

_PATIENCE = 3.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to connect to, where all is listened on


class Target(NamedTuple):
    """A gateway's own address and its admin address, as URLs."""

    url: str
    admin: str

    def check(self, *, is_mine: bool) -> None:
        """BadParameter unless both are on this machine, or the operator says that they are theirs."""
        for text, option in ((self.url, "--url"), (self.admin, "--admin")):
            try:
                address = parse_address(text)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint=option) from None
            if not is_mine and not _is_here(address):
                message = (
                    f"{text} is not on this machine; a drill is an overload, so say --yes-this-is-mine if it is yours"
                )
                raise typer.BadParameter(message, param_hint=option)


def target_of(settings: Settings) -> Target:
    """The addresses of a configuration."""
    scheme = "http" if settings.gateway.tls is None else "https"
    return Target(_url(settings.gateway.listen[0], scheme), _url(settings.admin.listen, "http"))


def _url(listen: str, scheme: str) -> str:
    if listen.startswith("unix:"):
        return listen
    host, _, port = listen.rpartition(":")
    bare = host.strip("[]")
    bare = _EVERYWHERE.get(bare, bare)
    return f"{scheme}://[{bare}]:{port}" if ":" in bare else f"{scheme}://{bare}:{port}"


def _is_here(address: Address) -> bool:
    if address.path:
        return True
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ip_address(each[4][0]).is_loopback for each in found)


async def answers(url: str) -> bool:
    """Whether anybody takes connections there; port 0 is nobody's."""
    address = parse_address(url)
    try:
        async with asyncio.timeout(_PATIENCE):
            if address.path:
                _, writer = await asyncio.open_unix_connection(address.path)
            else:
                _, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True

"""The doors: listening sockets, bound by the control process and kept open by it."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from gateway.config.addresses import Address, parse_listen

# The kernel cuts it to net.core.somaxconn.
_BACKLOG: Final = 4096

_HINTS: Final = {
    errno.EADDRINUSE: 'another process has it; "ss -ltnp" shows which',
    errno.EACCES: "ports below 1024 and protected directories need a privilege; choose another address or grant it",
    errno.EPERM: "this user may not listen there; choose another address or grant the privilege",
    errno.EADDRNOTAVAIL: 'no interface of this machine has this address; "ip addr" shows those it has',
    errno.ENOENT: "the directory of the socket does not exist; create it",
}


class BindFailed(Exception):
    """A door cannot be opened; the text says where, why and what to do."""

    def __init__(self, address: str, why: str, hint: str = "") -> None:
        super().__init__(f"cannot listen on {address}: {why}" + (f" ({hint})" if hint else ""))


class Listeners:
    """All sockets of the given addresses, ``copies`` of each TCP one.

    A Unix socket cannot be bound twice: there all copies are the same socket, and a file that a dead
    process left behind is replaced.
    """

    def __init__(self, addresses: tuple[str, ...], copies: int = 1) -> None:
        self._copies: list[list[socket.socket]] = [[] for _ in range(copies)]
        self._files: list[tuple[Path, tuple[int, int]]] = []
        self.addresses: list[str] = []
        try:
            for address in addresses:
                self._bind(address)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        """Say where the doors are."""
        return f"<Listeners {', '.join(self.addresses)} copies={len(self._copies)}>"

    def copy(self, number: int) -> list[socket.socket]:
        """The sockets of one worker, one for each address."""
        return self._copies[number]

    def close(self) -> None:
        """Close our hold on every socket and remove the files of Unix sockets that are still ours."""
        for listener in {id(listener): listener for copy in self._copies for listener in copy}.values():
            listener.close()
        for path, identity in self._files:
            with suppress(OSError):
                if _identity(path) == identity:
                    path.unlink()
        self._files.clear()

    def _bind(self, address: str) -> None:
        parsed = parse_listen(address)
        try:
            if parsed.port < 0:
                self._bind_unix(address, Path(parsed.host))
            else:
                self._bind_tcp(parsed)
        except socket.gaierror as error:
            raise BindFailed(address, error.strerror or "unknown name", "the name does not resolve here") from None
        except OSError as error:
            code = error.errno or 0
            raise BindFailed(address, os.strerror(code), _HINTS.get(code, "")) from None

    def _bind_tcp(self, parsed: Address) -> None:
        # A name such as localhost may stand for several addresses; we open all of them.
        for family, _, _, _, target in socket.getaddrinfo(
            parsed.host, parsed.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            if len(self._copies) > 1:
                # With SO_REUSEPORT a second gateway of this user would be let in; without, it is not.
                with _tcp_socket(family, is_shared=False) as probe:
                    probe.bind(target)
            bound = target
            for copy in self._copies:
                listener = _tcp_socket(family, is_shared=len(self._copies) > 1)
                copy.append(listener)
                listener.bind(bound)
                listener.listen(_BACKLOG)
                # Port 0 was any port for the first copy; the others join it.
                bound = listener.getsockname()
            self.addresses.append(_shown(bound))

    def _bind_unix(self, address: str, path: Path) -> None:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise BindFailed(address, "the path exists and is not a socket", "remove it or choose another path")
            if _is_served(path):
                raise BindFailed(address, os.strerror(errno.EADDRINUSE), "another process answers there")
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        for copy in self._copies:
            copy.append(listener)
        listener.bind(str(path))
        self._files.append((path, _identity(path)))
        listener.listen(_BACKLOG)
        self.addresses.append(address)


def _tcp_socket(family: int, *, is_shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return listener


def _shown(name: tuple[Any, ...]) -> str:
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _identity(path: Path) -> tuple[int, int]:
    """Which file this is; inode numbers alone are used again at once."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True

"""Doors are opened where asked, as often as asked, or the text says why not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from gateway.control.listeners import BindFailed, Listeners

if TYPE_CHECKING:
    from pathlib import Path


def test_copies_share_one_port() -> None:
    """Port 0 is one free port for all copies, and connections wait at a copy that nobody serves yet."""
    doors = Listeners(("127.0.0.1:0",), 3)
    ports = {doors.copy(number)[0].getsockname()[1] for number in range(3)}
    assert [f"127.0.0.1:{port}" for port in ports] == doors.addresses
    with socket.create_connection(("127.0.0.1", ports.pop()), timeout=5):
        pass
    doors.close()


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """Another listener on the port is an error for one copy and for several, and nothing stays open."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for copies in (1, 2):
            with pytest.raises(BindFailed, match=f"127.0.0.1:{port}: Address already in use"):
                Listeners((f"unix:{tmp_path}/s", f"127.0.0.1:{port}"), copies)
            assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("192.0.2.1:0", "no interface of this machine"),
        ("does-not-exist.invalid:80", "the name does not resolve"),
        ("unix:/no/such/directory/s", "the directory of the socket does not exist"),
        ("unix:/dev/null", "exists and is not a socket"),
    ],
)
def test_why_not(address: str, why: str) -> None:
    """Each failure names the address and says what to do about it."""
    with pytest.raises(BindFailed, match=why) as caught:
        Listeners((address,))
    assert str(caught.value).startswith(f"cannot listen on {address}: ")
    assert "\n" not in str(caught.value)


def test_ipv6_is_ipv6_only() -> None:
    """A door at ::1 is shown in brackets and does not open 127.0.0.1."""
    try:
        doors = Listeners(("[::1]:0",))
    except BindFailed:
        pytest.skip("this machine has no IPv6")
    assert doors.addresses[0].startswith("[::1]:")
    doors.close()


def test_unix_sockets(tmp_path: Path) -> None:
    """All copies share one socket; a stale file is replaced, a served one is not, somebody else's is left alone."""
    address = f"unix:{tmp_path}/s"
    doors = Listeners((address,), 2)
    assert doors.copy(0) == doors.copy(1)
    with pytest.raises(BindFailed, match="another process answers there"):
        Listeners((address,))
    for copy in doors.copy(0):
        copy.close()  # as if the process had been killed: the file stays
    again = Listeners((address,))
    doors.close()
    assert (tmp_path / "s").exists()
    again.close()
    assert not (tmp_path / "s").exists()

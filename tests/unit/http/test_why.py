"""Why a connection could not be made, in words."""

from __future__ import annotations

import errno
import socket

import pytest

from gateway.http.why import errno_of, why


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENETUNREACH, "Connect call failed ('192.0.2.1', 80)"), "Network is unreachable (ENETUNREACH)"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "Connection refused (ECONNREFUSED)"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name: Name or service not known"),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), "Connection refused (ECONNREFUSED)"),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 101] b"), "Connection refused, Network is unreachable"),
        (ConnectionResetError("closed during the handshake"), "the connection was closed at once"),
        (ValueError("secret"), "it failed"),
    ],
)
def test_the_words_are_the_systems_and_never_a_peers(error: Exception, words: str) -> None:
    """An errno in the system's words and by its name, whatever text came with it."""
    assert why(error) == words


def test_several_attempts_that_failed_alike_have_one_number() -> None:
    """uvloop puts them into one text; what differs has none."""
    assert errno_of(OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b")) == errno.ECONNREFUSED
    assert errno_of(OSError("Multiple exceptions: [Errno 111] a, [Errno 101] b")) is None
    assert errno_of(OSError("what")) is None

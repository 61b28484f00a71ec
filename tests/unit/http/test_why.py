"""Why a connection could not be made, in words."""

from __future__ import annotations

import errno
import socket

import pytest

from gateway.http.why import errno_of, tells_more, why


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


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.ECONNREFUSED),  # a machine without IPv6
        (errno.ECONNREFUSED, errno.ECONNREFUSED, errno.ECONNREFUSED),
        (errno.ENETUNREACH, errno.ECONNREFUSED, errno.ENETUNREACH),
        (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNRESET),  # somebody is there, on the other family
    ],
)
def test_of_two_families_the_one_that_was_reached_is_told(first: int, last: int, told: int) -> None:
    """That a machine lacks a family hides no refusal on the other one."""
    assert tells_more(OSError(first, "a"), OSError(last, "b")).errno == told

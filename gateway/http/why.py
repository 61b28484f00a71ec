"""Why a connection could not be made, in a few words that begin with what is to be looked at."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Final

_ERRNO: Final = re.compile(r"\[Errno (-?\d+)\]")
UNREACHED: Final = frozenset(
    {errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.EHOSTUNREACH}
)
"""Nothing listens, or the machine does not have the family: another address may do."""
# What OpenSSL calls a plain answer to a TLS hello.
_PLAIN: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})


def errno_of(error: OSError) -> int | None:
    """The error's number; of several attempts that failed alike (uvloop puts them into one text) the one they share."""
    if error.errno is not None:
        return error.errno
    found = {int(number) for number in _ERRNO.findall(str(error))}
    return found.pop() if len(found) == 1 else None


def tells_more(first: OSError, last: OSError) -> OSError:
    """The error to report of two addresses that failed: the first one, unless only the other was reached at all."""
    return first if errno_of(last) in UNREACHED else last


def why(error: BaseException, *, is_file: bool = False) -> str:
    """Certificate, TLS, name, file or errno; ``is_file`` when the address is that of a unix socket."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        hint = "; does it speak plain HTTP?" if reason in _PLAIN else ""
        return f"TLS: {reason.replace('_', ' ').lower() or 'the handshake failed'}{hint}"
    if isinstance(error, socket.gaierror):
        return f"name: {error.strerror or 'not resolved'}"
    if isinstance(error, UnicodeError):
        return "name: it cannot be written as DNS writes names"
    if isinstance(error, OSError):
        number = errno_of(error)
        if number is not None and number > 0:
            found = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
            return f"file: {found}" if is_file else found
        texts = [os.strerror(int(one)) for one in dict.fromkeys(_ERRNO.findall(str(error))) if int(one) > 0]
        if texts:
            return ", ".join(texts)
        return "the connection was closed at once" if isinstance(error, ConnectionError) else "it failed"
    return "it failed"

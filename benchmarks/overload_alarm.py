"""An alarm at an instant, as a file descriptor: to the microsecond, where event loops are a millisecond coarse."""

from __future__ import annotations

import ctypes
import os

_CLOCK_MONOTONIC = 1
_NONBLOCK = 0o4000
_ABSOLUTE = 1
_NEVER = 0.0


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("every", _Timespec), ("first", _Timespec))


class Alarm:
    """Its ``descriptor`` becomes readable at the instant that was set last; instants are of ``time.perf_counter``."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = int(self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK))
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._setting = _Setting()
        self._reference = ctypes.byref(self._setting)
        self._instant = _NEVER

    def set(self, instant: float | None) -> None:
        """Ring at ``instant`` instead of when it was to ring; None: not at all."""
        instant = instant or _NEVER
        if instant == self._instant:
            return
        self._instant = instant
        first = self._setting.first
        first.seconds = int(instant)
        first.nanoseconds = int((instant - first.seconds) * 1e9)
        self._libc.timerfd_settime(self.descriptor, _ABSOLUTE, self._reference, None)

    def silence(self) -> None:
        """Read the descriptor empty after it rang."""
        self._instant = _NEVER
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:
            return

"""One line for each request that deserves one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct, json

from gateway.telemetry.escape import one_line
from gateway.telemetry.flood import Flood
from gateway.telemetry.lines import Lines
from gateway.telemetry.redact import redact_target, redact_text
from gateway.telemetry.stamp import Stamp

if TYPE_CHECKING:
    from gateway.core.clock import Clock
    from gateway.telemetry.settings import Log

_TARGET: Final = 1024
_WORD: Final = 512
_SERVER_ERROR: Final = 500


class AccessRecord(NamedTuple):
    """What happened to one request. What is not known is empty or 0; times are in seconds.

    Without a ``protocol`` it was no request, and ``method`` and ``target`` are what can be read of it.

    ``bytes_in`` and ``bytes_out`` are the client's bodies; ``attempts`` is at least 1 once an endpoint was tried.
    ``detail`` says more of the reason: what was seen.
    """

    route: str
    upstream: str
    endpoint: str
    method: str
    target: str
    status: int
    reason: str
    seconds: float
    upstream_seconds: float
    bytes_in: int
    bytes_out: int
    client: str
    request_id: str
    trace_id: str
    attempts: int
    user_agent: str
    protocol: str
    detail: str = ""
    host: str = ""


class _Line(Struct, omit_defaults=True, gc=False):
    time: str
    level: str
    process: str
    event: str
    route: str = ""
    upstream: str = ""
    endpoint: str = ""
    method: str = ""
    target: str = ""
    status: int = -1
    reason: str = ""
    seconds: float = 0.0
    upstream_seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    client: str = ""
    request_id: str = ""
    trace_id: str = ""
    attempts: int = 0
    user_agent: str = ""
    protocol: str = ""
    detail: str = ""
    host: str = ""
    suppressed: int = 0
    per_second: int = 0


class AccessLog:
    """Writes access lines to ``lines``: all of them, or of errors at most 20 a second for each reason word.

    When a second held more errors, a line with the number ``suppressed`` and the bound ``per_second`` follows: with the
    next line of that reason, at :meth:`sweep` or at :meth:`close`.
    """

    def __init__(self, settings: Log, clock: Clock, *, lines: Lines | None = None, process: str = "") -> None:
        self._clock = clock
        self._lines = Lines() if lines is None else lines
        self._process = process
        self._stamp = Stamp()
        self._flood = Flood()
        self._render = _for_people if settings.is_for_people else json.Encoder().encode
        self._is_all = settings.access == "all"
        self._is_off = settings.access == "off"
        self._quiet = frozenset(path.removesuffix("/*") or "/" for path in settings.quiet)
        self._quiet_below = tuple(path[:-1] for path in settings.quiet if path.endswith("/*"))

    def wants(self, status: int, reason: str, target: str = "") -> bool:
        """Whether a request with this end gets a line; ask before building its record."""
        if self._is_off:
            return False
        if status >= _SERVER_ERROR or reason:
            return True
        return self._is_all and not (self._quiet and self._is_quiet(target))

    def _is_quiet(self, target: str) -> bool:
        path = target.partition("?")[0]
        return path in self._quiet or path.startswith(self._quiet_below)

    def write(self, record: AccessRecord) -> None:
        """Write the line of one request; of errors alone, unless its reason has had its lines for this second."""
        reason = record.reason
        if reason and not self._is_all:
            now = self._clock.now()
            if self._flood.is_over(reason, now):
                self._finish(reason)
            if not self._flood.is_allowed(reason, now):
                return
        self._lines.put(self._render(self._line(record)))

    def sweep(self) -> None:
        """Tell of the lines that were suppressed in the seconds that are over."""
        for reason in self._flood.over(self._clock.now()):
            self._finish(reason)

    def close(self) -> None:
        """Tell of everything that was suppressed and write out what waits."""
        for reason in self._flood.over(float("inf")):
            self._finish(reason)
        self._lines.close()

    def _line(self, record: AccessRecord) -> _Line:
        (
            route, upstream, endpoint, method, target, status, reason, seconds, upstream_seconds,
            bytes_in, bytes_out, client, request_id, trace_id, attempts, user_agent, protocol, detail, host,
        ) = record  # fmt: skip
        target = redact_target(target[: _TARGET + 1])
        if not protocol:  # it was no request: a secret may stand anywhere in it
            method, target = redact_text(method), redact_text(target)
        # One look at everything that a stranger wrote; nearly always it is harmless.
        foreign = f"{method}{client}{request_id}{trace_id}{user_agent}{protocol}{host}{target}"
        if len(foreign) > _WORD or "\\" in foreign or not foreign.isprintable():
            target = one_line(target, _TARGET)
            method, client, request_id, trace_id, user_agent, protocol, host = (
                one_line(word, _WORD) for word in (method, client, request_id, trace_id, user_agent, protocol, host)
            )
        return _Line(
            self._stamp(self._clock.wall()),
            "info" if status < _SERVER_ERROR else "warning",
            self._process,
            "request",
            route,
            upstream,
            endpoint,
            method,
            target,
            status,
            reason,
            round(seconds, 6),
            round(upstream_seconds, 6),
            bytes_in,
            bytes_out,
            client,
            request_id,
            trace_id,
            attempts,
            user_agent,
            protocol,
            one_line(detail, _WORD) if detail else "",
            host,
        )

    def _finish(self, reason: str) -> None:
        suppressed = self._flood.finish(reason)
        if suppressed:
            line = _Line(self._stamp(self._clock.wall()), "warning", self._process, "requests suppressed")
            line.reason = reason
            line.suppressed = suppressed
            line.per_second = self._flood.limit
            self._lines.put(self._render(line))


def _for_people(line: _Line) -> bytes:
    if line.suppressed:
        bound = f"lines are bounded to {line.per_second} a second for each reason"
        return f"{line.time} {line.process} {line.suppressed} more {line.reason}; {bound}".encode()
    told = (
        f"{line.time} {line.process} {line.status} {line.method} {line.host}{line.target} "
        f"{line.seconds * 1000:.1f}ms {line.route}→{line.endpoint or '-'} {line.client}"
    )
    reason = f"{line.reason}: {line.detail}" if line.detail else line.reason
    return f"{told} {reason} {line.request_id}".encode()


def trace_id(traceparent: str) -> str:
    """The trace-id of a W3C traceparent field (Trace Context §3.2.2); empty when it is not one."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""  # noqa: PLR2004 - four parts, 32 digits

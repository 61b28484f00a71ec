"""The format of every event that is not a request: structlog in, one safe line out.

A value's way: secrets hidden, cut to 2048 characters, escaped. What a process of a pool writes is not ours to change:
it is only escaped. Exceptions become their type, their
message and the places they passed, innermost first; never a traceback over several lines. What other
libraries log through :mod:`logging` goes the same way, but without the messages of their exceptions
(aiohttp puts what the peer sent into them) and at most 20 lines a second from one logger.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from msgspec import Raw, json

from gateway.core.secrets import HIDDEN
from gateway.telemetry.escape import escape, one_line
from gateway.telemetry.flood import Flood
from gateway.telemetry.redact import is_secret_key, redact_text
from gateway.telemetry.stamp import Stamp

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from gateway.core.clock import Clock
    from gateway.telemetry.lines import Lines
    from gateway.telemetry.settings import Log

_VALUE: Final = 2048
_NAME: Final = 64
_FRAMES: Final = 12
_DEPTH: Final = 4
_ITEMS: Final = 50

Logger = structlog.typing.FilteringBoundLogger


class Verbatim(NamedTuple):
    """Text of another program, which is neither cut nor searched for secrets."""

    text: str


def make_log(settings: Log, *, process: str, clock: Clock, lines: Lines) -> Logger:
    """A logger for this process; ``process`` is a field of every line. Touches no global state."""
    render = _render_for_people if settings.is_for_people else _render_json
    head = _Head(process, clock)
    log: Logger = structlog.wrap_logger(
        lines,
        processors=[head, _expose_exception, _make_safe, render],
        wrapper_class=_Bound,
    )
    return log


def capture_stdlib(log: Logger, clock: Clock) -> None:
    """Send everything from :mod:`logging` and :mod:`warnings` to ``log``, from WARNING up."""
    root = logging.getLogger()
    root.handlers[:] = [_Captured(log, clock)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def describe(error: BaseException, *, is_ours: bool = True) -> dict[str, str]:
    """An exception as fields: its type, its message when it ``is_ours``, and where it was."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    fields = {"exception": type(error).__qualname__}
    if is_ours and str(error):
        fields["message"] = str(error)
    if frames:
        fields["at"] = " < ".join(f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return fields


def _short(path: str) -> str:
    """The path from the package on: where things are installed is nobody's business."""
    for mark in ("/site-packages/", "/lib/python3"):
        if mark in path:
            return path.rsplit(mark, 1)[1]
    return "/".join(path.rsplit("/", 3)[-3:])


class _Bound(structlog.BoundLoggerBase):
    """The levels we use; below info nothing is written."""

    def debug(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """Write nothing; kept so that libraries' habits do no harm."""

    def info(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        self._proxy_to_logger("put", event, level="info", **fields)

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        self._proxy_to_logger("put", event, level="warning", **fields)

    def error(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        self._proxy_to_logger("put", event, level="error", **fields)

    def exception(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        self._proxy_to_logger("put", event, level="error", **{"exc_info": True, **fields})

    critical = error


class _Head:
    """Puts time, level and process in front of the other fields."""

    def __init__(self, process: str, clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._stamp = Stamp()

    def __call__(self, _logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        head = {
            "time": self._stamp(self._clock.wall()),
            "level": fields.pop("own_level", "") or fields.pop("level", "info"),
            "process": self._process,
            "event": fields.pop("event", ""),
        }
        fields.pop("level", None)
        return {**head, **{key if key not in head else f"{key}_": value for key, value in fields.items()}}


def _expose_exception(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    found = fields.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()[1]
    elif isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        fields.update(describe(found))
    return fields


def _make_safe(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    time = fields.pop("time")  # ours, and made for each line
    merged = fields.pop("merged", None)
    safe = {"time": time, **{_safe_text(str(key), _NAME): _safe(key, value, _DEPTH) for key, value in fields.items()}}
    if merged is not None:
        _merge(safe, merged)
    return safe


def _merge(fields: dict[str, Any], merged: Mapping[str, Raw]) -> None:
    """Add the fields of a line that was JSON already; one that has the name of ours gets a name of its own.

    Its level is the line's.
    """
    for key, value in merged.items():
        if key == "level":
            continue
        name = key
        while name in fields:
            name += "_"
        fields[name] = value


def _safe(key: object, value: object, depth: int) -> object:
    if value is None or type(value) in {bool, int, float, Verbatim}:
        return value
    if is_secret_key(_text(key)):
        return HIDDEN
    if depth and isinstance(value, dict):
        return {_safe_text(_text(k), _NAME): _safe(k, v, depth - 1) for k, v in list(value.items())[:_ITEMS]}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_safe(key, item, depth - 1) for item in list(value)[:_ITEMS]]
    return _safe_text(_text(value), _VALUE)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, BaseException):
        return f"{type(value).__qualname__}: {value}"
    return str(value)


def _safe_text(text: str, limit: int) -> str:
    # Redaction works on twice the limit at most: its patterns must not cost more than the line is worth.
    return one_line(redact_text(text[: 2 * limit]), limit)


_ENCODER: Final = json.Encoder()


def _render_json(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> bytes:
    line = fields.get("line")
    if type(line) is Verbatim:
        fields["line"] = line.text
    return _ENCODER.encode(fields)


def _shown(value: object) -> object:
    if type(value) is Verbatim:
        return escape(value.text)
    return escape(bytes(value).decode("utf-8", "backslashreplace")) if isinstance(value, Raw) else value


def _render_for_people(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> bytes:
    time, level, process, event = (fields.pop(name) for name in ("time", "level", "process", "event"))
    rest = "".join(f" {escape(key)}={_shown(value)}" for key, value in fields.items())
    return f"{time} {process} {level} {event}{rest}".encode()


class _Captured(logging.Handler):
    """Gives the records of :mod:`logging` to our logger."""

    def __init__(self, log: Logger, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._clock = clock
        self._flood = Flood()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; it must never raise into the library that logged."""
        try:
            self._emit(record)
        except Exception as error:  # noqa: BLE001
            self._log.error("log record lost", logger=record.name, error=type(error).__qualname__)

    def _emit(self, record: logging.LogRecord) -> None:
        name, now = record.name.split(".", maxsplit=1)[0], self._clock.now()
        if self._flood.is_over(name, now):
            suppressed = self._flood.finish(name)
            if suppressed:
                self._log.warning("log records suppressed", logger=name, n=suppressed)
        if not self._flood.is_allowed(name, now):
            return
        error = record.exc_info[1] if record.exc_info else None
        fields = {} if error is None else describe(error, is_ours=False)
        # Only the first line: asyncio adds reprs of tasks and transports, which hold what peers sent.
        event = record.getMessage().partition("\n")[0]
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write(event, logger=record.name, **fields)

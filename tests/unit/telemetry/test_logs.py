"""Every event is one safe line, whatever was in it and whoever logged it."""

from __future__ import annotations

import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.clock import ManualClock
from gateway.telemetry.logs import Logger, capture_stdlib, make_log
from gateway.telemetry.settings import Log

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kept:
    """Takes lines instead of :class:`Lines`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.put = self.lines.append

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def log(kept: Kept) -> Logger:
    return make_log(Log(), process="control", clock=ManualClock(wall=1.5), lines=kept)  # type: ignore[arg-type]


def test_an_event_has_time_level_process_and_its_fields(log: Logger, kept: Kept) -> None:
    """The head of a line is the same for all; fields keep their types."""
    log.bind(worker=3).warning("worker died", status=-9, took=0.25, is_last=True)
    assert kept.events == [
        {
            "time": "1970-01-01T00:00:01.500Z",
            "level": "warning",
            "process": "control",
            "event": "worker died",
            "worker": 3,
            "status": -9,
            "took": 0.25,
            "is_last": True,
        }
    ]


@pytest.mark.parametrize("form", ["json", "console"])
def test_injection(kept: Kept, form: Any) -> None:
    """CR, LF, ESC and bidirectional marks in events, keys and nested values end up in one printable line."""
    log = make_log(Log(format=form), process="control", clock=ManualClock(), lines=kept)  # type: ignore[arg-type]
    evil = 'x\r\n{"level":"forged"}\x1b[2J\u202e\u2028\x00'
    log.error(evil, **{evil: evil, "nested": {evil: [evil, (evil,)]}, "raw": evil.encode(), "error": ValueError(evil)})
    (line,) = kept.lines
    assert line.decode().isprintable()


def test_redaction(log: Logger, kept: Kept) -> None:
    """Secrets are hidden by the key they are under, in URLs and in texts, at every level and depth."""
    log.info("Authorization: Basic S3CRET", password="S3CRET", url="redis://:S3CRET@h", target="/?token=S3CRET")
    log.error("x", fields={"Cookie": "S3CRET", "more": [{"set-cookie": b"S3CRET"}]}, api_key=["S3CRET"])
    log.warning("x", error=ValueError("Cookie: S3CRET"), raw=b"Proxy-Authorization: S3CRET\r\nHost: x")
    assert len(kept.lines) == 3
    assert b"S3CRET" not in b"".join(kept.lines)


def test_an_exception_is_fields_of_one_line(log: Logger, kept: Kept) -> None:
    """An exception is its type, its safe message and its places, innermost first, without secrets."""
    try:
        json.loads("{")
    except ValueError:
        log.exception("failed", password="S3CRET")
    try:
        raise RuntimeError("GET /?token=S3CRET\r\nCookie: S3CRET")  # noqa: TRY301 - it needs a traceback
    except RuntimeError as error:
        log.error("failed", exc_info=error)  # noqa: TRY400 - the other way to say it
    first, second = kept.events
    assert first["exception"] == "JSONDecodeError"
    assert first["at"].startswith("json/decoder.py:") or "decoder.py" in first["at"].split(" < ")[0]
    assert first["at"].endswith("test_an_exception_is_fields_of_one_line")
    assert second["message"] == "GET /?token=***\\r\\nCookie: ***"
    assert b"S3CRET" not in b"".join(kept.lines)


def test_long_values_are_cut(log: Logger, kept: Kept) -> None:
    """A value of a megabyte does not become a line of a megabyte."""
    log.info("x" * 10**6, value="\n" * 10**6, many=list(range(10**5)))
    assert len(kept.lines[0]) < 10_000


def test_a_field_cannot_forge_the_head(log: Logger, kept: Kept) -> None:
    """Fields called like the head get another name."""
    log.info("x", process="forged", time="forged")
    assert kept.events[0]["process"] == "control"
    assert kept.events[0]["process_"] == "forged"
    assert list(kept.events[0])[:4] == ["time", "level", "process", "event"]


class TestStdlib:
    """What other libraries log."""

    @pytest.fixture(autouse=True)
    def restored(self) -> Iterator[None]:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        yield
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)

    def test_a_traceback_shows_no_bytes_of_the_client(self, log: Logger, kept: Kept) -> None:
        """aiohttp's error for a bad request is one line with its type, without what the client sent."""
        capture_stdlib(log, ManualClock())
        try:
            raise ValueError("Bad request: b'EVIL\\r\\n'")  # noqa: TRY301 - it needs a traceback
        except ValueError:
            logging.getLogger("aiohttp.server").exception("Error handling request from %s", "127.0.0.1\nEVIL")
        (event,) = kept.events
        assert event["event"] == "Error handling request from 127.0.0.1"
        assert (event["exception"], event["logger"], event["level"]) == ("ValueError", "aiohttp.server", "error")
        assert b"EVIL" not in kept.lines[0]

    def test_a_storm_is_bounded_and_its_size_is_told(self, log: Logger, kept: Kept) -> None:
        """Of a thousand records in a second twenty are written, and the next second tells of the others."""
        clock = ManualClock()
        capture_stdlib(log, clock)
        for n in range(1000):
            logging.getLogger(f"aiohttp.{n}").error("bad request")
        assert len(kept.lines) == 20
        clock.advance(1)
        logging.getLogger("aiohttp.server").error("another")
        assert [event["event"] for event in kept.events[20:]] == ["log records suppressed", "another"]
        assert kept.events[20]["n"] == 980

    def test_broken_records_do_not_raise(self, log: Logger, kept: Kept) -> None:
        """A record whose message cannot be made is told of and raises nothing."""
        capture_stdlib(log, ManualClock())
        logging.getLogger("x").error("%d", "not a number")
        assert kept.events[0]["event"] == "log record lost"

    def test_warnings_are_events(self, log: Logger, kept: Kept) -> None:
        """Python's warnings come as events too."""
        capture_stdlib(log, ManualClock())
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=False)
            logging.captureWarnings(capture=True)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        assert kept.events[0]["logger"] == "py.warnings"

"""Access lines say what happened, safely, and a storm of refusals cannot flood them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.clock import ManualClock
from gateway.telemetry.access import AccessLog, AccessRecord
from gateway.telemetry.flood import Flood
from gateway.telemetry.settings import Log
from gateway.telemetry.stamp import Stamp

RECORD = AccessRecord(
    *("web", "app", "http://10.0.0.1:80", "GET", "/a?x=1", 200, "", 0.0123456789, 0.01),
    *(0, 1234, "10.0.0.7", "abc", "", 1, "curl/8", "HTTP/1.1"),
    host="shop.test",
)


class Kept:
    """Takes lines instead of :class:`Lines`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.put = self.lines.append

    def close(self) -> None:
        """Nothing to write out."""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def make(clock: ManualClock | None = None, **settings: Any) -> tuple[AccessLog, Kept]:
    kept = Kept()
    log = AccessLog(Log(**settings), clock or ManualClock(), lines=kept, process="worker-0")  # type: ignore[arg-type]
    return log, kept


@pytest.mark.parametrize(
    ("access", "wanted"),
    [("all", [True, True, True, True]), ("errors", [False, True, True, True]), ("off", [False] * 4)],
)
def test_which_requests_get_a_line(access: Any, wanted: list[bool]) -> None:
    """Errors are server errors and everything that has a reason; a client's plain 404 is not one."""
    log, _ = make(access=access)
    ends = [(404, ""), (500, ""), (200, "client_gone"), (404, "no_route")]
    assert [log.wants(*end) for end in ends] == wanted


def test_a_line_says_what_is_known() -> None:
    """A line has the record's fields, times in microseconds, and leaves out what is empty."""
    log, kept = make(ManualClock(wall=0.001))
    log.write(RECORD)
    assert kept.events == [
        {
            "time": "1970-01-01T00:00:00.001Z",
            "level": "info",
            "process": "worker-0",
            "event": "request",
            "route": "web",
            "upstream": "app",
            "endpoint": "http://10.0.0.1:80",
            "method": "GET",
            "target": "/a?x=1",
            "status": 200,
            "seconds": 0.012346,
            "upstream_seconds": 0.01,
            "bytes_out": 1234,
            "client": "10.0.0.7",
            "request_id": "abc",
            "attempts": 1,
            "user_agent": "curl/8",
            "protocol": "HTTP/1.1",
            "host": "shop.test",
        }
    ]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "name", ["method", "target", "client", "request_id", "trace_id", "user_agent", "protocol", "host"]
)
def test_injection(name: str, form: Any) -> None:
    """No field that a client writes can end the line or carry a control character."""
    log, kept = make(format=form)
    log.write(RECORD._replace(**{name: 'x\r\n{"event":"forged"}\x1b[2J\u202e\u2028\udcff\\'}))
    assert kept.lines[0].decode().isprintable()


def test_secrets_in_targets_are_hidden_and_long_ones_are_cut() -> None:
    """A target shows neither tokens nor more than a kilobyte."""
    log, kept = make()
    log.write(RECORD._replace(target="/a?token=S3CRET&x=" + "y" * 5000, user_agent="z" * 5000))
    assert b"S3CRET" not in kept.lines[0]
    assert kept.events[0]["target"].startswith("/a?token=***&x=yyy")
    assert len(kept.lines[0]) < 2500


def test_a_storm_of_refusals_is_bounded_and_told() -> None:
    """A reason gets 20 lines a second, then one line with the number of the others; other reasons are unharmed."""
    clock = ManualClock()
    log, kept = make(clock)
    for _ in range(1000):
        log.write(RECORD._replace(status=400, reason="malformed_head"))
    log.write(RECORD._replace(status=404, reason="no_route"))
    for _ in range(50):
        log.write(RECORD)
    assert [event.get("reason") for event in kept.events] == ["malformed_head"] * 20 + ["no_route"] + [None] * 50
    log.sweep()
    assert len(kept.lines) == 71
    clock.advance(1)
    log.sweep()
    assert [(e["event"], e["reason"], e["suppressed"], e["per_second"]) for e in kept.events[71:]] == [
        ("requests suppressed", "malformed_head", 980, 20)
    ]
    log.sweep()
    assert len(kept.lines) == 72


def test_all_is_all() -> None:
    """Where every request is wanted, no reason has a bound."""
    log, kept = make(access="all")
    for _ in range(100):
        log.write(RECORD._replace(status=404, reason="no_route"))
    log.sweep()
    assert len(kept.lines) == 100


def test_health_checks_are_quiet_while_they_pass() -> None:
    """Their paths, and those below a prefix, get a line for an error alone; nothing else is quieted."""
    log, _ = make(access="all", quiet=("/healthz", "/internal/*"))
    targets = ("/healthz", "/healthz?x=1", "/internal", "/internal/a", "/healthz/x", "/internals", "/", "*")
    assert [log.wants(200, "", target) for target in targets] == [False] * 4 + [True] * 4
    assert log.wants(500, "", "/healthz")
    assert log.wants(200, "client_gone", "/internal/a")
    assert not make(access="off", quiet=("/x",))[0].wants(500, "", "/y")


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, b"1970-"), (False, b"{")])
def test_a_terminal_gets_lines_for_people(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, expected: bytes
) -> None:
    """Without a format, lines are for people on a terminal and JSON elsewhere."""
    monkeypatch.setattr("os.isatty", lambda _descriptor: is_terminal)
    log, kept = make(ManualClock(wall=0.001))
    log.write(RECORD)
    assert kept.lines[0].startswith(expected)
    assert make(format="json")[0] is not None


def test_the_next_second_begins_anew_and_the_end_tells_all() -> None:
    """A line in a later second tells first what was left out before; closing tells the rest."""
    clock = ManualClock()
    log, kept = make(clock)
    for _ in range(21):
        log.write(RECORD._replace(reason="no_route"))
    clock.advance(5)
    for _ in range(22):
        log.write(RECORD._replace(reason="no_route"))
    log.close()
    assert [event["suppressed"] for event in kept.events if "suppressed" in event] == [1, 2]
    assert len(kept.lines) == 42


def test_a_flood_is_counted_by_key() -> None:
    """Keys do not share their seconds."""
    flood = Flood(limit=1)
    assert [flood.is_allowed(key, 0.0) for key in ("a", "a", "b")] == [True, False, True]
    assert flood.over(0.9) == []
    assert flood.over(1.0) == ["a", "b"]
    assert (flood.finish("a"), flood.finish("b"), flood.finish("c")) == (1, 0, 0)


def test_stamps() -> None:
    """A stamp is UTC to the millisecond, also when time goes back."""
    stamp = Stamp()
    assert stamp(1e9 + 0.9996) == "2001-09-09T01:46:40.999Z"
    assert stamp(1e9 + 1) == "2001-09-09T01:46:41.000Z"
    assert stamp(5.25) == "1970-01-01T00:00:05.250Z"

"""Access logs are read as the requests that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.clock import ManualClock
from gateway.simulate.scaling.reader import TraceError, read_trace
from gateway.telemetry.access import AccessLog, AccessRecord
from gateway.telemetry.settings import Log

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.simulate.scaling.traces import Trace

NGINX = (
    '203.0.113.7 - - [27/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8"\n'
    '203.0.113.7 - ada lovelace [27/Nov/2026:11:00:00 +0100] "GET /a\\"b HTTP/1.1" 404 0 "-" "a [x] \\"b\\""\n'
    '::1 - - [27/Nov/2026:10:00:02 +0000] "\\x16\\x03\\x01" 400 150 "-" "-"\n'
    "nginx: a line that is none\n"
)
OTHERS = '{"ts": 1700000000.5, "status": 200}\n{"ts": 1700000002, "status": 503}\n'


def read(folder: Path, text: str, **options: str) -> Trace:
    path = folder / "access.log"
    path.write_text(text)
    return read_trace(path, **options)  # type: ignore[arg-type]


class Kept:
    """Takes lines instead of standard error."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.put = self.lines.append


@pytest.mark.parametrize("form", ["json", "console"])
def test_our_own_log_says_when_requests_came(tmp_path: Path, form: str) -> None:
    """A line is written at the end, and the request counts at its beginning; what is no request is left out."""
    clock, kept = ManualClock(wall=1_700_000_000.0), Kept()
    log = AccessLog(Log(format=form, access="all"), clock, lines=kept, process="worker-0")  # type: ignore[arg-type]
    for seconds in (0.0, 2.5, 2.5):
        clock.advance(1.0)
        record = AccessRecord(
            *("web", "app", "", "GET", '/a?x="1"', 200, "", seconds, 0.0, 0, 0, "::1", "id", "", 1, "", ""), host="h"
        )
        log.write(record)
    other = '{"time":"2023-11-14T22:13:20.000Z","level":"info","process":"control","event":"pool process ready"}'
    if form == "console":
        other = "2023-11-14T22:13:20.000Z control info pool process ready pid=1"
    trace = read(tmp_path, "\n".join([other, *(line.decode() for line in kept.lines)]))
    assert (trace.is_exact, list(trace.rates)) == (True, [1.0, 2.0])  # at -0.5, 0.5 and 1 s
    assert trace.notes == ("1 lines of the log are no requests and were left out",)


def test_a_log_of_nginx_is_understood(tmp_path: Path) -> None:
    """The combined format, whatever clients wrote into it, in any time zone."""
    trace = read(tmp_path, NGINX)
    assert list(trace.rates) == [2.0, 0.0, 1.0]
    assert trace.notes == ("1 lines of the log are no requests and were left out",)
    assert list(read(tmp_path, NGINX, since="2026-11-27T09:59:59Z", until="2026-11-27T10:00:01Z").rates) == [2.0]


def test_other_json_needs_a_time(tmp_path: Path) -> None:
    """A line is a request when it has one; a log without any is no trace."""
    assert list(read(tmp_path, OTHERS).rates) == [1.0, 1.0]
    with pytest.raises(TraceError, match="fewer than two requests"):
        read(tmp_path, '{"message": "hello"}\n{"message": "world"}\n')


def test_a_log_of_errors_alone_is_doubted(tmp_path: Path) -> None:
    """It looks like little traffic, and is only what went wrong."""
    (note,) = read(tmp_path, OTHERS.replace("200", "502")).notes
    assert note.startswith("every line of the log is an error: ")
    assert read(tmp_path, OTHERS).notes == ()

"""The parts of the benchmarks that compute."""

from __future__ import annotations

import pytest

from benchmarks.load import read_report
from benchmarks.table import Row, Target

REPORT = """Running 3s test @ http://127.0.0.1:1/small
  1 threads and 64 connections
  300 requests in 3.00s, 6.00MB read
  Socket errors: connect 0, read 2, write 1, timeout 0
  Non-2xx or 3xx responses: 4
Requests/sec:    100.00
Transfer/sec:      2.00MB
"""


def test_a_report_of_wrk_is_read_with_its_failures() -> None:
    assert read_report(REPORT) == (100.0, 2.0 * 1024**2, 7)


def test_what_is_not_a_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a report"):
        read_report("unable to connect")


def test_a_ratio_compares_medians() -> None:
    row = Row("x", {"gateway": [10, 20, 900], "nginx": [40, 1, 50]}, (Target("nginx", 0.45),))
    assert row.ratio(row.targets[0]) == pytest.approx(0.5)
    assert row.is_met(row.targets[0]) is True


def test_a_ceiling_is_met_from_below() -> None:
    row = Row("x", {"gateway": [13]}, (Target(None, 12, is_ceiling=True),))
    assert row.is_met(row.targets[0]) is False


def test_without_a_peer_nobody_can_say() -> None:
    row = Row("x", {"gateway": [1]}, (Target("nginx", 1),))
    assert row.is_met(row.targets[0]) is None

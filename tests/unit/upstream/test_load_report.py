"""What an endpoint says of its own load is read in both forms, and nonsense is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.load_report import MOST, read_report


@pytest.mark.parametrize(
    ("field", "numbers"),
    [
        (b'JSON {"cpu_utilization": 0.3, "mem_utilization": 0.8}', {"cpu_utilization": 0.3, "mem_utilization": 0.8}),
        (b'JSON {"applicationUtilization": 1.2}', {"application_utilization": 1.2}),
        (b'JSON {"named_metrics": {"queue": 5}, "rps": 3}', {"named_metrics.queue": 5.0, "rps": 3.0}),
        (b"TEXT cpu_utilization=0.3,named_metrics.queue=5", {"cpu_utilization": 0.3, "named_metrics.queue": 5.0}),
        (b"TEXT cpu:0.3, mem : 0.1", {"cpu": 0.3, "mem": 0.1}),
        (b"TEXT a=1,b=nan,c=-1,d=inf,e=1e999,f,=3,g==2", {"a": 1.0}),
        (b'JSON {"a": true, "b": [1], "c": null, "d": "0.5"}', {"d": 0.5}),
        (b"BIN CZqZmZmZmbk/", {}),
        (b"JSON {", {}),
        (b"JSON [1, 2]", {}),
        (b"", {}),
        (b"\xff\xfe", {}),
    ],
)
def test_reports(field: bytes, numbers: dict[str, float]) -> None:
    """Finite numbers that are not negative are kept under flat names."""
    assert read_report(field) == numbers


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(tail: bytes) -> None:
    """Whatever is sent, the answer is a bounded table."""
    for kind in (b"JSON ", b"TEXT ", b""):
        assert len(read_report(kind + tail)) <= MOST


def test_reports_are_bounded() -> None:
    """A thousand metrics are cut to a few."""
    assert len(read_report(b"TEXT " + b",".join(b"m%d=1" % n for n in range(1000)))) == MOST

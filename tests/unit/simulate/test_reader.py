"""Every form that a trace may have, and what is made of it."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulate.scaling.reader import TraceError, read_trace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "step", "rates"),
    [
        ("time,count\n0,60\n60,120\n", 60.0, [1.0, 2.0]),
        ("offset_s;requests\n0;60\n60;120\n", 60.0, [1.0, 2.0]),
        ("period_utc\tcount\n2020-01-01T00:00\t60\n2020-01-01T00:01\t120\n", 60.0, [1.0, 2.0]),
        ("\ufeffTime,Host,Count\n0,a,60\n60,b,120\n", 60.0, [1.0, 2.0]),
        ("# a remark\n\ncount\n3\n4\n", 1.0, [3.0, 4.0]),
        ("0,60\n60,120\n", 60.0, [1.0, 2.0]),
        ("2020-01-01T00:00:00Z,5\n2020-01-01T00:00:10Z,10\n", 10.0, [0.5, 1.0]),
        ("3\n4\n5\n", 1.0, [3.0, 4.0, 5.0]),
        ("3 4 7\n5 6", 1.0, [3.0, 4.0, 7.0, 5.0, 6.0]),
        ("0 60\n60 120", 60.0, [1.0, 2.0]),
        ("timestamp\n0.2\n0.9\n2.5\n", 1.0, [2.0, 0.0, 1.0]),
        ("1700000000\n1700000000.5\n1700000002\n", 1.0, [2.0, 0.0, 1.0]),
        ("1700000000000\n1700000000500\n1700000002000\n", 1.0, [2.0, 0.0, 1.0]),
        ("2023-11-16 18:17:03.9799600\n2023-11-16 18:17:04.1\n2023-11-16 18:17:06\n", 1.0, [2.0, 0.0, 1.0]),
        ("ts\n5\n3\n4\n", 1.0, [1.0, 1.0, 1.0]),
        ('time,count\n"0","60"\n"60","120"\n', 60.0, [1.0, 2.0]),
    ],
)
def test_a_form_is_understood(tmp_path: Path, text: str, step: float, rates: list[float]) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    trace = read_trace(path)
    assert (trace.name, trace.step, list(trace.rates)) == ("trace", step, pytest.approx(rates))


def test_a_time_with_an_offset_is_that_instant(tmp_path: Path) -> None:
    """Two o'clock in Rome is twelve in UTC, so these two are one minute apart."""
    path = tmp_path / "t.csv"
    path.write_text("time,count\n2024-05-01T14:00:00+02:00,60\n2024-05-01T12:01:00Z,60\n")
    assert list(read_trace(path).rates) == [1.0, 1.0]


def test_several_rows_of_one_period_add_up_and_holes_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,count\n0,1\n0,2\n1,3\n4,5\n")
    trace = read_trace(path)
    assert (list(trace.rates), trace.gaps) == ([3.0, 3.0, 0.0, 0.0, 5.0], 2)


def test_a_part_is_cut_by_its_times(tmp_path: Path) -> None:
    """From the beginning of since to the end before until, as times and not as texts."""
    path = tmp_path / "t.csv"
    path.write_text("time,count\n" + "".join(f"2024-05-01T00:{minute:02},{minute}\n" for minute in range(60)))
    trace = read_trace(path, since="2024-05-01T00:30:00Z", until="2024-05-01T00:33")
    assert [rate * 60 for rate in trace.rates] == pytest.approx([30, 31, 32])
    with pytest.raises(TraceError, match="expected a number of seconds or an ISO time"):
        read_trace(path, since="noon")


def test_a_step_says_what_no_time_says(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("60\n120\n")
    assert list(read_trace(path, step=60.0).rates) == [1.0, 2.0]
    with pytest.raises(TraceError, match="has no times"):
        read_trace(path, since="5")


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    text = b"count\n1\n2\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.csv.bz2").write_bytes(bz2.compress(text))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("workload.txt")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    for name in ("a.csv.gz", "a.csv.bz2", "a.tar.gz"):
        assert list(read_trace(tmp_path / name).rates) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv.gz", b"not packed"), ("a.tar", b"nor this"), ("a.csv", b"\xff\xfe\xfa"), ("none.csv", None)],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TraceError, match=rf"{name}: cannot be read: "):
        read_trace(tmp_path / name)


def test_single_requests_are_exact_until_they_are_scaled(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("timestamp\n0\n1\n")
    trace = read_trace(path)
    assert trace.is_exact
    assert not trace.scaled(10.0).is_exact


@given(counts=st.lists(st.integers(0, 10_000), min_size=2, max_size=50).filter(any), step=st.integers(1, 3600))
def test_no_request_is_lost_in_reading(tmp_path_factory: pytest.TempPathFactory, counts: list[int], step: int) -> None:
    """Rate times step, summed up, is the sum of the counts of the file, whatever the period is."""
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_text("time,count\n" + "".join(f"{place * step},{count}\n" for place, count in enumerate(counts)))
    trace = read_trace(path)
    assert sum(trace.rates) * trace.step == pytest.approx(sum(counts))
    assert len(trace.rates) == len(counts)


def test_one_crooked_time_is_a_question(tmp_path: Path) -> None:
    """A row that is 60 ms behind the one before it does not make 100 a minute to 1,667 a second; --step says it is meant."""
    path = tmp_path / "t.csv"
    times = [60.0 * minute for minute in range(30)]
    times.insert(10, times[9] + 0.06)
    path.write_text("time,count\n" + "".join(f"{at},100\n" for at in times))
    with pytest.raises(TraceError) as wrong:
        read_trace(path)
    assert str(wrong.value) == (
        "t.csv:12: is 0.06 s after the row before it, and most rows are 60 s apart; is its time wrong? "
        "--step 60 reads it as it is"
    )
    assert max(read_trace(path, step=60.0).rates) == pytest.approx(200 / 60)


def test_rows_that_are_left_out_are_no_crooked_times(tmp_path: Path) -> None:
    """Where periods without requests are left out, the shortest distance is the period, although others are as usual."""
    path = tmp_path / "t.csv"
    path.write_text("time,count\n" + "".join(f"{at},1\n" for at in (0, 20, 30, 50, 60, 80, 100)))
    assert read_trace(path).step == 10

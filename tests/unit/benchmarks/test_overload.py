"""The overload benchmark's own arithmetic: what it says about proxies is only as good as this."""

from __future__ import annotations

from random import Random
from statistics import fmean, pstdev
from xml.etree import ElementTree as ET

import pytest

from benchmarks.answers import BROKEN, GAVE_UP, read_answer
from benchmarks.overload_figures import Window, complaint, count, lateness, memory_slope, returns, timeline
from benchmarks.overload_load import Clients, Crowd, Phase, Seen, arrivals, write_requests
from benchmarks.overload_plot import draw
from benchmarks.overload_scenarios import scenarios
from benchmarks.overload_service import Crew, Distribution, Job, Service, draws
from benchmarks.overload_trial import Second, Trial
from benchmarks.table import Row, Target


def _crew(workers: int) -> Crew:
    return Crew(Service(workers=workers), 0.0)


def _finish_all(crew: Crew, works: list[float], *, step: float) -> list[float]:
    """All arrive at once; the crew is looked at only every ``step`` seconds."""
    crew.advance(0.0)
    for work in works:
        crew.arrive(Job(None, work))
    finished: list[float] = []
    now = 0.0
    while len(finished) < len(works):
        now += step
        finished += [job.finished_at for job in crew.advance(now)]
    return finished


def test_two_workers_take_the_backlog_in_order() -> None:
    assert _finish_all(_crew(2), [1.0, 2.0, 1.0, 3.0], step=0.25) == pytest.approx([1.0, 2.0, 2.0, 5.0])


@pytest.mark.parametrize("step", [0.001, 0.07, 5.0])
def test_a_late_event_loop_does_not_take_capacity_away(step: float) -> None:
    rng = Random(7)
    works = [rng.expovariate(50) for _ in range(300)]
    assert _finish_all(_crew(3), works, step=step) == pytest.approx(_finish_all(_crew(3), works, step=0.0003))


def test_more_workers_take_from_the_backlog_at_once_and_fewer_end_their_requests_first() -> None:
    crew = _crew(1)
    for work in (1.0, 1.0, 1.0, 1.0):
        crew.arrive(Job(None, work))
    crew.advance(0.5)
    crew.resize(3)
    crew.advance(0.75)
    crew.resize(1)
    assert [job.finished_at for job in crew.advance(9.0)] == pytest.approx([1.0, 1.5, 1.5, 2.5])


def test_past_the_knee_throughput_falls_as_one_over_n() -> None:
    within = _finish_all(Crew(Service(workers=64, knee=4), 0.0), [1.0] * 4, step=0.1)
    beyond = _finish_all(Crew(Service(workers=64, knee=4), 0.0), [1.0] * 8, step=0.1)
    assert within == pytest.approx([1.0] * 4)
    # eight at a quarter of the speed
    assert beyond[0] == pytest.approx(4.0)


@pytest.mark.parametrize(("drops_gone", "finished", "wasted"), [(False, 2, 1), (True, 1, 0)])
def test_work_for_a_client_that_left_is_done_unless_told_otherwise(
    *, drops_gone: bool, finished: int, wasted: int
) -> None:
    crew = Crew(Service(workers=1, drops_gone=drops_gone), 0.0)
    crew.arrive(Job(None, 1.0))
    gone = Job(None, 1.0)
    crew.arrive(gone)
    gone.is_gone = True
    assert len(crew.advance(5.0)) == finished
    assert crew.wasted == wasted


@pytest.mark.parametrize(
    ("distribution", "variation"), [("exponential", 1.0), ("constant", 0.0), ("lognormal", 1.0), ("bimodal", 3.1)]
)
def test_every_distribution_has_the_mean_and_the_spread_that_it_promises(
    distribution: Distribution, variation: float
) -> None:
    draw_work = draws(distribution, 0.02, Random(3))
    works = [draw_work() for _ in range(100_000)]
    assert fmean(works) == pytest.approx(0.02, rel=0.03)
    assert pstdev(works) / fmean(works) == pytest.approx(variation, abs=0.08)


def test_the_same_seed_brings_the_same_arrivals() -> None:
    clients = Clients((Phase(2, 100),), (Crowd("a", 0.9), Crowd("b", 0.1, tenants=5)), seed=4)
    assert arrivals(clients) == arrivals(clients)


def test_arrivals_keep_to_their_phases() -> None:
    found = [due for due, _, _ in arrivals(Clients((Phase(10, 50), Phase(10, 500), Phase(10, 0))))]
    assert found == sorted(found)
    assert sum(due < 10 for due in found) == pytest.approx(500, rel=0.15)
    assert sum(10 <= due < 20 for due in found) == pytest.approx(5000, rel=0.05)
    assert not any(due >= 20 for due in found)


def test_each_tenant_has_a_request_of_its_own() -> None:
    requests = write_requests(Crowd("others", tenants=2, path="/x"))
    assert requests[1] == b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nx-tenant: others-1\r\n\r\n"
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("received", "is_end", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", False, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", False, (200, "", True, 0)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nok", False, (200, "", False, 0)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", False, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False, (200, "", True, 0)),
        (b'HTTP/1.1 503 No\r\nContent-Length: 21\r\n\r\n{"reason":"queue_full"', False, (503, "queue_full", True, 0)),
        (b"HTTP/1.1 503 No\r\nretry-after: 12\r\nContent-Length: 0\r\n\r\n", False, (503, "", True, 12)),
        (b"HTTP/1.1 503 No\r\n\r\nbusy", False, None),
        (b"HTTP/1.1 503 No\r\n\r\nbusy", True, (503, "", False, 0)),
        (b"HTTP/1.1 5", True, None),
    ],
)
def test_an_answer_is_read_once_it_is_whole(received: bytes, expected: object, *, is_end: bool) -> None:
    assert read_answer(received, is_end=is_end) == expected


def _seen() -> Seen:
    return Seen(
        due=[0.1, 0.2, 0.3, 0.4, 1.1],
        end=[0.2, 0.9, 0.3, 1.4, 1.2],
        status=[200, 200, 503, GAVE_UP, BROKEN],
        crowd=[0, 1, 0, 0, 0],
        late=[0.0, 0.0, 0.02, 0.0, 0.5],
        processor=[0.5],
        waiting=[3],
    )


def test_an_arrival_counts_where_it_came_and_is_good_within_half_a_second() -> None:
    counts = count(_seen(), Window(0, 1))
    assert (counts.offered, counts.good, counts.refused, counts.gave_up, counts.broken) == (4, 1, 1, 1, 0)
    assert counts.goodput == 1.0
    assert counts.quantile(0.99) == pytest.approx(0.7)


def test_crowds_and_windows_are_told_apart() -> None:
    assert count(_seen(), Window(0, 1), crowd=1).offered == 1
    assert count(_seen(), Window(1, 2)).broken == 1
    assert [each.offered for each in timeline(_seen(), 0.5, 1.5)] == [4, 0, 1]


def test_an_empty_window_has_no_share_and_no_quantile() -> None:
    counts = count(_seen(), Window(5, 6))
    assert (counts.good_share, counts.refused_share, counts.quantile(0.5)) == (None, None, None)


def test_a_retry_after_is_held_against_what_those_met_that_came_then() -> None:
    """Refused at 0.2 s and told to come in 1 s: room was there after 0.3 s, and of two that came then one was served."""
    due = [0.05, 0.2, 0.45, 0.55, 1.25, 1.35, 2.5]
    seen = Seen(
        due=due,
        end=[at + 0.01 for at in due],
        status=[200, 503, 503, 200, 200, 503, 200],
        crowd=[0] * 7,
        late=[0.0] * 7,
        told=[0, 1, 0, 0, 0, 5, 0],
    )
    (found,) = returns(seen, Window(0, 2))
    assert found.told == 1
    assert found.until_room == pytest.approx(0.29)
    assert found.good_share == 0.5
    assert returns(seen, Window(0.3, 2)) == []
    assert returns(_seen(), Window(0, 1)) == []


def _trial(seen: Seen, service: float = 0.2) -> Trial:
    seconds = [Second(1.0, 0.1, service, 1000), Second(2.0, 0.1, service, 3000)]
    return Trial("gateway", 1, seen, seconds, {"done": 10, "wasted": 1, "late_p99": 0.001})


def test_the_machine_is_blamed_when_requests_left_late_or_the_core_was_full() -> None:
    assert lateness(_seen(), Window(0, 1)) == pytest.approx(0.02)
    assert "20 ms late" in complaint(_trial(_seen()), Window(0, 1))
    punctual = _seen()
    punctual.late = [0.0] * 5
    assert complaint(_trial(punctual), Window(0, 1)) == ""
    assert "of their core" in complaint(_trial(punctual, service=0.6), Window(0, 1))


def test_memory_that_grows_is_seen_as_bytes_a_second() -> None:
    assert memory_slope(_trial(_seen()), Window(1, 2)) == pytest.approx(2000)


def test_every_measure_of_every_scenario_can_be_read_from_a_trial() -> None:
    for scenario in scenarios(quick=True).values():
        trial = _trial(_seen())
        for measure in scenario.measures:
            value = measure.read(trial)
            assert value is None or value >= 0, f"{scenario.name}: {measure.name}"


def test_the_picture_is_well_formed_and_has_a_line_for_each_proxy_and_chart() -> None:
    scenario = scenarios(quick=True)["steady-5"]
    picture = ET.fromstring(draw([(scenario, [_trial(_seen())])], ["gateway", "nothing"]))
    lines = [each for each in picture.iter("{http://www.w3.org/2000/svg}path") if each.get("fill") == "none"]
    assert len(lines) == 2


@pytest.mark.parametrize("theirs", [0.0, -0.01])
def test_a_baseline_that_is_not_above_zero_decides_nothing(theirs: float) -> None:
    row = Row("added p99, ms", {"gateway": [0.2], "nginx": [theirs]}, (Target("nginx", 2, is_ceiling=True),))
    assert row.is_met(row.targets[0]) is None

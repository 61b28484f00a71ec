"""The faults benchmark's own arithmetic, and the faults that it makes."""

from __future__ import annotations

import pytest

from benchmarks import faults_figures as figures
from benchmarks.answers import BROKEN, GAVE_UP
from benchmarks.faults_load import Clients, Seen, arrivals, write_request
from benchmarks.faults_scenarios import scenarios
from benchmarks.faults_service import Endpoint, Work, read_request
from benchmarks.faults_trial import Record, read_log, take_port
from benchmarks.faults_wire import spoil
from benchmarks.peers import OURS
from benchmarks.rounds import chosen

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


def _seen(*rows: tuple[str, float, float, int, str]) -> Seen:
    method, due, end, status, reason = (list(column) for column in zip(*rows, strict=True))
    return Seen(method=method, due=due, end=end, status=status, reason=reason)  # type: ignore[arg-type]


_SEEN = _seen(
    ("GET", 0.0, 0.1, 200, ""),
    ("GET", 1.0, 6.0, GAVE_UP, ""),
    ("POST", 1.5, 1.6, 502, "connect_refused"),
    ("GET", 2.0, 2.1, BROKEN, "body"),
    ("GET", 3.0, 3.1, 503, "breaker_open"),
    ("GET", 4.0, 4.4, 200, ""),
)


def test_whatever_is_not_a_whole_200_has_failed() -> None:
    assert figures.failed(_SEEN) == 4
    assert figures.failed(_SEEN, "GET") == 3
    assert figures.failed(_SEEN, "GET", begin=2.0) == 2
    assert figures.failed_share(_SEEN, "GET") == pytest.approx(0.6)
    assert figures.failed_share(_SEEN, "PUT") == 0
    assert figures.gave_up(_SEEN) == 1
    assert figures.words(_SEEN) == {
        "gave up": 1,
        "502 connect_refused": 1,
        "broken (body)": 1,
        "503 breaker_open": 1,
    }


def test_a_request_belongs_to_the_instant_at_which_it_was_due() -> None:
    assert figures.failed(_SEEN, "GET", 1.0, 2.0) == 1, "it ended long after"
    assert figures.quantile(_SEEN, 0.5, "GET") == pytest.approx(0.4)
    assert figures.quantile(_SEEN, 0.5, "POST") is None


def test_when_a_breaker_spoke_and_when_service_came_back() -> None:
    assert figures.refused_from(_SEEN, 1.0, "breaker_open") == pytest.approx(3.1)
    assert figures.refused_from(_SEEN, 3.2, "breaker_open") is None
    assert figures.nth_failure(_SEEN, 1.0, 2) == pytest.approx(2.1)
    assert figures.nth_failure(_SEEN, 1.0, 9) is None
    assert figures.served_after(_SEEN, 1.0) == pytest.approx(3.4)
    assert figures.served_after(_SEEN, 5.0) is None
    assert figures.last_failure_after(_SEEN, 1.0) == pytest.approx(2.0)
    assert figures.last_failure_after(_SEEN, 3.5) == 0


def test_a_post_that_came_to_two_endpoints_is_found_and_a_get_is_not() -> None:
    records = [
        [Record(0.0, 0.1, "p1"), Record(0.0, 0.1, "g2")],
        [Record(0.5, 0.0, "p1"), Record(0.5, 0.6, "g2"), Record(0.7, 0.8, "p3")],
    ]
    assert figures.repeated(records, "p") == 1


def test_an_endpoint_is_back_when_a_second_begins_with_its_share() -> None:
    others = [Record(at / 10, 0.0, "g") for at in range(200)]
    back = [Record(at / 10, 0.0, "g") for at in range(80, 200, 5)]
    records = [back, others]
    assert figures.share(records, 0.0, 5.0) == 0
    assert figures.fair_after(records, 4.0, 20.0) == pytest.approx(3.6, abs=0.11)
    assert figures.fair_after([[], others], 4.0, 20.0) == figures.NEVER
    assert figures.first_after(back, 4.0) == pytest.approx(4.0)
    assert figures.first_after([], 4.0) is None


def test_only_what_was_answered_counts_as_at_once() -> None:
    """What a stopped process finds in its sockets belongs to clients that have left."""
    records = [Record(1.0, 2.0, "g1"), Record(1.5, 2.5, "g2"), Record(1.6, 0.0, "g3"), Record(2.0, 3.0, "g4")]
    assert figures.most_at_once(records, 0.0, 9.0) == 2
    assert figures.proven(records, 1.0) == pytest.approx(3.0)
    assert figures.proven(records, 1.8) is None


def test_a_log_is_read_in_order_also_when_one_request_came_twice() -> None:
    text = "B 10.0 p1\nB 10.5 p1\nE 10.6 p1\nB 11.0 g2\nX 11.2 g2\n"
    assert read_log(text, 10.0) == [
        Record(0.0, pytest.approx(0.6), "p1"),
        Record(0.5, 0.0, "p1"),
        Record(1.0, 0.0, "g2"),
    ]


@pytest.mark.parametrize(
    ("fault", "at_once", "slowly"),
    [
        ("none", _ANSWER, b""),
        ("hang", b"", b""),
        ("reset", _ANSWER[:-2], b""),
        ("drip", _ANSWER[:-4], b"body"),
    ],
)
def test_what_a_fault_leaves_of_an_answer(fault: str, at_once: bytes, slowly: bytes) -> None:
    assert spoil(fault, _ANSWER) == (at_once, slowly)  # type: ignore[arg-type]


def test_an_endpoint_waits_for_the_body_and_knows_whose_request_it_is() -> None:
    request = write_request(Clients(1.0, told=4.5), "POST", 7)
    assert b"X-Request-Timeout-Ms: 4500\r\n" in request
    assert read_request(request[:-1]) is None
    found = read_request(request + b"GET")
    assert found is not None
    assert (found.path, found.case, found.rest) == (b"/work", "p7", b"GET")


def test_an_endpoint_does_as_it_is_told() -> None:
    endpoint = Endpoint(Work(), log=-1)
    assert 0.015 <= endpoint.decide(b"/work")[1] <= 0.025
    assert endpoint.decide(b"/healthz")[1] <= 0.0025
    endpoint.decide(b"/control/slower/20")
    assert 0.3 <= endpoint.decide(b"/work")[1] <= 0.5
    endpoint.decide(b"/control/errors/1")
    for path in (b"/work", b"/healthz"):
        answer, seconds = endpoint.decide(path)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert seconds == 0


def test_everybody_gets_the_same_arrivals_in_order() -> None:
    clients = Clients(20.0, seed=3)
    found = arrivals(clients)
    assert found == arrivals(clients)
    assert found == sorted(found)
    counts = [sum(method == word for _, method in found) for word in ("GET", "POST")]
    assert counts[0] == pytest.approx(4000, rel=0.1)
    assert counts[1] == pytest.approx(400, rel=0.2)


@pytest.mark.parametrize("quick", [True, False])
def test_every_scenario_ends_after_its_last_step_and_has_a_target(*, quick: bool) -> None:
    for scenario in scenarios(quick=quick).values():
        assert all(0 < step.at < scenario.seconds for step in scenario.case.steps)
        assert OURS in scenario.proxies
        assert any(measure.targets for measure in scenario.measures)
        assert scenario.case.has_wire or not any(
            step.what in {"refuse", "reset", "hang", "drip"} for step in scenario.case.steps
        )


def test_a_whole_name_stands_for_itself_and_a_beginning_for_all_that_begin_so() -> None:
    known = ("error", "errors-60", "only-kill", "only-stop")
    assert chosen("error", known) == ("error",)
    assert chosen("only,errors", known) == ("errors-60", "only-kill", "only-stop")
    assert chosen("", known) == known


def test_a_port_is_given_once() -> None:
    assert len({take_port() for _ in range(20)}) == 20

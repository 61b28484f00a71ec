"""A limit for each endpoint."""

from __future__ import annotations

import pytest

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.aimd import Aimd
from gateway.admission.limits.by_endpoint import ByEndpoint
from gateway.admission.limits.fixed import Fixed
from gateway.admission.limits.limit import Stage
from gateway.admission.sample import Sample
from gateway.core.outcome import Outcome


def test_the_sum_of_those_in_use() -> None:
    limits = ByEndpoint(lambda: Fixed(7))
    limits.use(["a", "b", "c"], ["a", "b", "c"])
    assert limits.value == 21
    limits.use(["a"], ["a", "b", "c"])
    assert limits.value == 7


def test_each_learns_for_itself() -> None:
    """What goes wrong at one endpoint lowers its limit, and by that much the sum."""
    limits = ByEndpoint(lambda: Aimd(20, 1, 100))
    limits.use(["a", "b"], ["a", "b"])
    limits.held_back(1.0)
    change = limits.teach("a", Sample(1.0, 2.0, 20, "r", Outcome.TIMEOUT))
    assert change is not None
    assert limits.of("a").value == change.limit < 20
    assert limits.of("b").value == 20
    assert limits.value == change.limit + 20


def test_a_request_teaches_none() -> None:
    limits = ByEndpoint(lambda: Aimd(20, 1, 100))
    limits.use(["a"], ["a"])
    limits.held_back(1.0)
    assert limits.update(Sample(1.0, 2.0, 20, "r", Outcome.TIMEOUT)) is None
    assert limits.value == 20


def test_what_is_known_outlives_an_absence_but_not_an_end() -> None:
    limits = ByEndpoint(lambda: Aimd(20, 1, 100))
    limits.use(["a", "b"], ["a", "b"])
    limits.held_back(1.0)
    limits.teach("a", Sample(1.0, 2.0, 20, "r", Outcome.TIMEOUT))
    learned = limits.of("a").value
    limits.use(["b"], ["a", "b"])
    limits.use(["a", "b"], ["a", "b"])
    assert limits.of("a").value == learned
    limits.use(["b"], ["b"])
    limits.use(["a", "b"], ["a", "b"])
    assert limits.of("a").value == 20


def test_a_line_at_one_endpoint_closes_its_limit_alone() -> None:
    """One worker of 50 ms at five times what it does; the other endpoint answers all at once."""
    limits = ByEndpoint(lambda: Adaptive(100))
    limits.use(["slow", "fast"], ["slow", "fast"])
    free = now = 0.0
    flying: list[tuple[float, float, int]] = []
    while limits.of("slow").stage is Stage.OPEN and now < 10.0:
        now += 0.01
        limits.begin("fast", now, 1, "r")
        limits.teach("fast", Sample(now, now + 0.001, 1, "r", Outcome.SUCCESS))
        while flying and flying[0][0] <= now:
            end, at, n = flying.pop(0)
            limits.teach("slow", Sample(at, end, n, "r", Outcome.SUCCESS))
        if len(flying) < limits.of("slow").value:
            free = max(free, now) + 0.05
            flying.append((free, now, len(flying) + 1))
            limits.begin("slow", now, len(flying), "r")
        else:
            limits.held_back(now)
    assert now < 5.0
    assert limits.of("fast").stage is Stage.OPEN
    assert limits.stage is Stage.OPEN
    assert limits.value == limits.of("slow").value + limits.of("fast").value


def test_an_upload_is_no_work_of_the_endpoint() -> None:
    """From the end of its body on it counts, and its end is found again."""
    limits = ByEndpoint(lambda: Adaptive(100))
    limits.use(["a"], ["a"])
    limits.begin("a", 1.0, 1, "r")
    limits.begin_again("a", 1.0, 5.0, 1, "r")
    limits.teach("a", Sample(5.0, 5.1, 1, "r", Outcome.SUCCESS))
    state = limits.remember()["a"]
    assert state["latency"] == pytest.approx(0.1)


def test_limits_that_open_with_arrivals_open_the_sum() -> None:
    """Three hundred in a tenth of a second have to wait, and are no burst."""
    limits = ByEndpoint(lambda: Adaptive(100))
    limits.use(["a"], ["a"])
    limits.begin("a", 0.0, 1, "r")
    limits.held_back(0.5)
    assert limits.value == limits.of("a").value == 102

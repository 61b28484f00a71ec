"""A limit for each endpoint."""

from __future__ import annotations

from gateway.admission.limits.aimd import Aimd
from gateway.admission.limits.by_endpoint import ByEndpoint
from gateway.admission.limits.fixed import Fixed
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

"""How many slots a load needs."""

from __future__ import annotations

from math import exp, inf, isfinite, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signals.staffing import (
    EXACT_BELOW,
    backlog_slots,
    erlang_c,
    halfin_whitt,
    slots_needed,
    spare_slots,
    waits_longer,
)


@pytest.mark.parametrize(("slots", "load", "waits"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (10, 8.0, 0.4092)])
def test_erlang_c_has_the_values_of_the_tables(slots: int, load: float, waits: float) -> None:
    assert erlang_c(slots, load) == pytest.approx(waits, abs=1e-4)


def test_everybody_waits_when_slots_do_not_exceed_the_load() -> None:
    assert erlang_c(5, 5.0) == waits_longer(5, 5.0, 1.0) == 1.0


def test_halfin_whitt_is_the_limit_of_erlang_c() -> None:
    load = 10_000.0
    for beta in (0.25, 0.5, 1.0, 2.0):
        assert erlang_c(round(load + beta * sqrt(load)), load) == pytest.approx(halfin_whitt(beta), rel=0.03)


def test_slots_for_few_are_enough_and_one_less_is_not() -> None:
    load, patience, risk = 2.0 ** (64 / 32), 2.5, 0.001
    slots = round(slots_needed(load, patience, risk))
    assert waits_longer(slots, load, patience) <= risk < waits_longer(slots - 1, load, patience)


def _erlang_c_by_its_sum(slots: int, load: float) -> float:
    """(Rᶜ/c!)·c/(c-R) ÷ (Σ Rᵏ/k! + the same), term by term."""
    terms = [1.0]
    for servers in range(1, slots + 1):
        terms.append(terms[-1] * load / servers)
    full = terms.pop() * slots / (slots - load)
    return full / (sum(terms) + full)


@pytest.mark.parametrize("risk", [0.11, 0.011, 0.001])
@pytest.mark.parametrize("patience", [0.0, 0.1, 1.0])
def test_on_the_whole_grid_slots_are_enough_and_one_less_is_not(patience: float, risk: float) -> None:
    """Erlang's sum says so, which shares no line with the recursion."""
    for step in range(-96, 180):
        load = 2.0 ** (step / 32) * (1 - 1e-9)
        slots = round(slots_needed(load, patience, risk))
        assert slots_needed(load, patience, risk) == pytest.approx(slots, abs=1e-6)
        assert _erlang_c_by_its_sum(slots, load) * exp(-(slots - load) * patience) <= risk
        if slots - 1 > load:
            assert _erlang_c_by_its_sum(slots - 1, load) * exp(-(slots - 1 - load) * patience) > risk


@given(st.floats(0, 1e4), st.floats(0, 1e3))
def test_a_queue_never_needs_more_slots_than_it_has_requests(queued: float, service: float) -> None:
    """However long a service takes; and no fewer than drain it within the second where that is possible."""
    slots = backlog_slots(queued, service, 1.0)
    assert slots <= queued
    assert slots == pytest.approx(queued * service if service <= 1 else queued)


def test_the_two_methods_meet() -> None:
    below, above = (slots_needed(EXACT_BELOW * part, 1.0, 0.001) for part in (0.99, 1.01))
    assert abs(above - below) < 3


def test_the_spare_grows_with_the_root_of_variability() -> None:
    assert spare_slots(100, 0.5, 0.01, 4.0) == pytest.approx(2 * spare_slots(100, 0.5, 0.01, 1.0))


@given(
    st.floats(0, 1e6, allow_nan=False),
    st.floats(0, 1e4),
    st.sampled_from([0.5, 0.01, 0.001, 1e-5]),
    st.floats(0, inf),
)
def test_slots_are_finite_and_never_below_the_load(
    load: float, patience: float, risk: float, variability: float
) -> None:
    slots = slots_needed(load, patience, risk, variability)
    assert isfinite(slots)
    assert slots >= load

"""What the external scaler answers: numbers in, numbers out."""

from __future__ import annotations

from math import inf, isfinite, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keda.answers import SHARE, WANTED, Unanswerable, Wanted, is_active, read_wanted, sizes, values
from gateway.keda.settings import KedaSettings, KedaTls, with_full_paths
from gateway.keda.steady import STEP, Steady
from gateway.signals.signals import Signals

FLAT = Signals(at=0.0, signal_valid=1, demand_slots=5.0, backlog_slots=1.0).flat()
amounts = st.floats(allow_nan=True, allow_infinity=True)


@given(amounts, amounts)
def test_an_answer_is_finite_and_not_below_zero_or_there_is_none(demand: float, backlog: float) -> None:
    """Whatever stands in the signals: what is not a number is unavailable and never 0."""
    flat = {**FLAT, "demand_slots": demand, "backlog_slots": backlog}
    if not isfinite(demand + backlog):
        with pytest.raises(Unanswerable) as refused:
            values(Wanted("shop"), flat)
        assert refused.value.why == "unavailable"
        return
    (answer,) = values(Wanted("shop"), flat)
    assert 0 <= answer.exact <= answer.whole <= answer.exact + 1
    assert answer.exact == min(max(0.0, demand + backlog), 1e12)


@given(st.floats(0.01, 1e6), st.integers(0, 100_000))
def test_integers_err_on_the_side_of_more_replicas(slots: float, demand: int) -> None:
    """Old clients compute with the whole numbers, and get at least what the exact ones would give."""
    (size,) = sizes(Wanted("shop"), FLAT, slots)
    (value,) = values(Wanted("shop"), {**FLAT, "demand_slots": demand + 0.5, "backlog_slots": 0.0})
    assert size.exact == SHARE * slots
    if size.exact >= 1:
        assert value.whole / size.whole >= value.exact / size.exact


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=50))
def test_what_is_announced_is_never_further_than_a_tenth(numbers: list[float]) -> None:
    """And changes only when it must."""
    steady = Steady()
    last = None
    for number in numbers:
        announced = steady.follow("shop", number)
        assert abs(number - announced) <= STEP * announced
        if last is not None and abs(number - last) <= STEP * last:
            assert announced == last
        last = announced


def test_targets_are_announced_apart() -> None:
    """One's change is not another's."""
    steady = Steady()
    assert [steady.follow("a", 8.0), steady.follow("b", 2.0), steady.follow("a", 8.5)] == [8.0, 2.0, 8.0]


@pytest.mark.parametrize("value", [0.1, nan, inf])
def test_activity_is_assumed_when_a_number_is_none(value: float) -> None:
    """Only what is known to be quiet is quiet."""
    assert is_active(Wanted("shop"), {**FLAT, "queued": value})
    assert not is_active(Wanted("shop"), {**FLAT, "queued": 0.0})
    assert is_active(Wanted("shop"), {"signal_valid": 1.0})


def test_metadata_have_defaults() -> None:
    """The shortest trigger names its target."""
    assert read_wanted({"target": "shop"}, ["shop", "search"]) == Wanted("shop", (WANTED,), None, 0.0)


def test_names_are_trimmed_and_empty_ones_left_out() -> None:
    """YAML's folded strings have spaces and commas at their ends."""
    found = read_wanted({"target": "shop", "metric": " a, b,", "targetSize": "2", "activation": "3"}, ["shop"])
    assert found == Wanted("shop", ("a", "b"), 2.0, 3.0)


def test_without_targets_nobody_is_found() -> None:
    """A gateway that scales nothing says so."""
    with pytest.raises(Unanswerable, match="none"):
        read_wanted({}, [])


def test_files_are_found_beside_the_configuration() -> None:
    """Absolute names stay, and what is not named stays so."""
    settings = KedaSettings(tls=KedaTls("keda.crt", "/etc/keda.key"))
    found = with_full_paths(settings, Path("/etc/gateway")).tls
    assert found == KedaTls("/etc/gateway/keda.crt", "/etc/keda.key")
    assert with_full_paths(KedaSettings(), Path("/etc/gateway")) == KedaSettings()


def test_an_open_stream_is_activity() -> None:
    """The last pod does not go while a WebSocket talks, although nothing arrives, waits or is worked for."""
    assert is_active(Wanted("shop"), {**FLAT, "streams": 1.0})
    assert not is_active(Wanted("shop", activation=1.0), {**FLAT, "streams": 1.0})

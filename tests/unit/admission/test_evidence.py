"""Evidence of a line: numbers in, numbers out."""

from __future__ import annotations

import random
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.limits.evidence import Life, Observation, line_evidence, sharing_evidence


def _seen(n: int, duration: float, *, has_ended: bool = True, kind: str = "") -> Observation:
    return Observation(kind, log(n), duration, has_ended)


OBSERVATIONS = st.lists(
    st.builds(
        _seen,
        st.integers(1, 500),
        st.floats(0.001, 100.0),
        has_ended=st.booleans(),
        kind=st.sampled_from(["a", "b"]),
    ),
    max_size=60,
)


def test_two_that_end_apart() -> None:
    """At risk when the first ends: both, so U = ln 1 - (ln 1 + ln 4) / 2 and V = (ln 4 / 2)²: Z² / 2 is a half."""
    assert line_evidence([_seen(1, 1.0), _seen(4, 2.0)]) == pytest.approx(0.5)
    assert line_evidence([_seen(4, 1.0), _seen(1, 2.0)]) == pytest.approx(-0.5)


def test_what_has_not_ended_is_at_risk_for_as_long_as_it_lasted() -> None:
    """One still in flight after two seconds says as much as one that ended then; after half a second it says nothing."""
    assert line_evidence([_seen(1, 1.0), _seen(4, 2.0, has_ended=False)]) == pytest.approx(0.5)
    assert line_evidence([_seen(1, 1.0), _seen(4, 0.5, has_ended=False)]) == 0.0


def test_what_has_not_ended_is_not_at_risk_in_its_own_bin() -> None:
    """Equal durations, one ended: nobody outlived it."""
    assert line_evidence([_seen(1, 1.0), _seen(4, 1.0, has_ended=False)]) == 0.0


def test_ties_are_drawn_without_order() -> None:
    """Two of two end in one bin: whoever was first is not asked, and there is no variance left."""
    assert line_evidence([_seen(1, 1.0), _seen(4, 1.001)]) == 0.0
    three = [_seen(1, 1.0), _seen(4, 1.001), _seen(16, 2.0)]
    assert line_evidence(three) == line_evidence(list(reversed(three))) > 0


def test_kinds_are_not_compared() -> None:
    """A slow route at high n beside a fast one at low n is no line."""
    mixed = [_seen(1, 0.01, kind="fast") for _ in range(20)] + [_seen(50, 10.0, kind="slow") for _ in range(20)]
    assert line_evidence(mixed) == 0.0


def test_a_line_is_seen_before_those_in_it_have_ended() -> None:
    """Eight workers: eight have ended, thirty that came later are still in flight."""
    line = [_seen(n, 0.02 + 0.001 * n) for n in range(1, 9)] + [_seen(n, 0.3, has_ended=False) for n in range(9, 40)]
    assert line_evidence(line) > 4


def test_independent_durations_give_no_evidence() -> None:
    """Whatever their distribution: over two hundred samples a mean near that of Z² / 2 with its sign, which is 0."""
    rng = random.Random(1)
    found = [
        line_evidence(
            [_seen(rng.randint(1, 100), rng.paretovariate(1.2), has_ended=rng.random() < 0.8) for _ in range(80)]
        )
        for _ in range(200)
    ]
    assert abs(sum(found)) / 200 < 0.2
    assert sum(one > 4 for one in found) <= 3


@given(OBSERVATIONS, st.randoms(use_true_random=False))
def test_the_order_makes_no_difference(observations: list[Observation], rng: random.Random) -> None:
    """The same observations, shuffled."""
    shuffled = observations[:]
    rng.shuffle(shuffled)
    assert line_evidence(shuffled) == pytest.approx(line_evidence(observations), abs=1e-6)


@given(OBSERVATIONS, st.floats(0.1, 10.0))
def test_the_unit_of_n_makes_no_difference(observations: list[Observation], factor: float) -> None:
    """Twice as many in flight each time is the same contrast."""
    moved = [one._replace(crowd=one.crowd + log(factor)) for one in observations]
    assert line_evidence(moved) == pytest.approx(line_evidence(observations), rel=1e-3, abs=1e-3)


@given(OBSERVATIONS)
def test_turned_around_it_is_the_other_evidence(observations: list[Observation]) -> None:
    """High for low: the sign changes."""
    turned = [one._replace(crowd=-one.crowd) for one in observations]
    assert line_evidence(turned) == pytest.approx(-line_evidence(observations), rel=1e-6, abs=1e-6)


@given(OBSERVATIONS)
def test_what_has_just_come_says_nothing(observations: list[Observation]) -> None:
    """A request that is younger than every end was never at risk."""
    young = _seen(400, 0.0001, has_ended=False, kind="a")
    assert line_evidence([*observations, young]) == pytest.approx(line_evidence(observations))


def test_sharing_is_seen_where_admission_shows_nothing() -> None:
    """All came at n = 10 and slowed down when 100 were in flight: ends come while few are."""
    instants, crowds = [0.0, 1.0, 2.0], [log(10), log(100), log(10)]
    early = [Life("", 0.001 * k, 0.05 + 0.05 * k, has_ended=True) for k in range(12)]
    late = [Life("", 1.0 + 0.001 * k, 0.9, has_ended=False) for k in range(40)]
    assert sharing_evidence([*early, *late], instants, crowds) > 4
    assert line_evidence([Observation("", log(10), one.duration, one.has_ended) for one in (*early, *late)]) == 0.0


def test_without_a_contrast_there_is_no_sharing() -> None:
    """As many in flight all the time."""
    lives = [Life("", 0.1 * k, 0.5, has_ended=True) for k in range(30)]
    assert sharing_evidence(lives, [0.0], [log(10)]) == 0.0

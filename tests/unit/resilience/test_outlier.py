"""Outliers among endpoints: who is left out, for how long, and who never is."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.core.outcome import Outcome
from gateway.core.units import Seconds
from gateway.resilience.outlier import Outliers, Standing
from gateway.resilience.settings import OutlierSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.resilience.outlier import Ejection
    from gateway.resilience.settings import Mode

SUCCESS, FAILURE, TIMEOUT, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.NEUTRAL


def _outliers(max_ejected: float = 0.5, mode: Mode = "enforce") -> Outliers:
    return Outliers(OutlierSettings(mode=mode, max_ejected=max_ejected))


def _standings(count: int) -> list[Standing]:
    return [Standing() for _ in range(count)]


def _calls(standing: Standing, outcome: Outcome, count: int, now: float, seconds: float = 0.01) -> None:
    for _ in range(count):
        standing.note(outcome, seconds, now)


def _story(  # noqa: PLR0917
    standings: Sequence[Standing],
    outliers: Outliers,
    seconds: float,
    failing: Sequence[float],
    latency: Sequence[float],
    rng: Random,
) -> list[Ejection]:
    """A hundred calls a second to whoever is in; judged four times a second."""
    found = []
    now = 0.0
    while now < seconds:
        now += 0.01
        for one, fails, takes in zip(standings, failing, latency, strict=True):
            if not one.is_ejected(now):
                outcome = FAILURE if rng.random() < fails else SUCCESS
                one.note(outcome, rng.expovariate(1 / takes), now)
        if int(now * 100) % 25 == 0:
            found += outliers.judge(standings, now)
    return found


def test_five_failures_in_a_row_are_enough() -> None:
    """While the peers are well; four are not."""
    standings = _standings(3)
    for one in standings:
        _calls(one, SUCCESS, 50, 1.0)
    _calls(standings[1], FAILURE, 4, 1.0)
    assert _outliers().judge(standings, 1.1) == []
    _calls(standings[1], FAILURE, 1, 1.2)
    (ejection,) = _outliers().judge(standings, 1.3)
    assert (ejection.index, ejection.seconds, ejection.reason) == (1, 5.0, "consecutive")
    assert [one.is_ejected(1.4) for one in standings] == [False, True, False]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_when_all_fail_alike_nobody_is_an_outlier(seed: int, share: float) -> None:
    """The breaker is for that; leaving some out would only crowd the others."""
    standings = _standings(4)
    assert _story(standings, _outliers(), 20, [share] * 4, [0.01] * 4, Random(seed)) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("bad", "usual"), [(0.4, 0.0), (0.5, 0.1), (0.95, 0.4)])
def test_who_fails_far_more_than_its_peers_is_left_out(seed: int, bad: float, usual: float) -> None:
    """And nobody else."""
    standings = _standings(4)
    found = _story(standings, _outliers(), 10, [usual, usual, bad, usual], [0.01] * 4, Random(seed))
    assert found
    assert {one.index for one in found} == {2}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bad", [0.05, 0.12])
def test_who_fails_a_little_more_costs_more_and_stays(seed: int, bad: float) -> None:
    """Its penalty is for that."""
    standings = _standings(4)
    assert _story(standings, _outliers(), 10, [0.0, 0.0, bad, 0.0], [0.01] * 4, Random(seed)) == []


@pytest.mark.parametrize("seed", range(5))
def test_who_is_ten_times_slower_is_left_out(seed: int) -> None:
    """By latency alone."""
    found = _story(_standings(3), _outliers(), 5, [0.0] * 3, [0.01, 0.01, 0.1], Random(seed))
    assert {(one.index, one.reason) for one in found} == {(2, "latency")}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("latency", [(0.01, 0.01, 0.025), (0.001, 0.001, 0.012), (0.3, 0.1, 0.2)])
def test_who_is_somewhat_slower_stays(seed: int, latency: tuple[float, ...]) -> None:
    """Less than five times, or by less than anybody notices."""
    assert _story(_standings(3), _outliers(), 20, [0.0] * 3, latency, Random(seed)) == []


def test_one_call_that_lasts_for_ever_is_not_a_slow_endpoint() -> None:
    """A thousand times the usual, once."""
    standings = _standings(3)
    for one in standings:
        _calls(one, SUCCESS, 100, 1.0)
    standings[0].note(SUCCESS, 10.0, 1.0)
    assert _outliers().judge(standings, 1.1) == []


def test_an_endpoint_that_drips_is_left_out() -> None:
    """Its answers begin in time and never end."""
    standings = _standings(3)
    for one in standings[:2]:
        _calls(one, SUCCESS, 50, 9.0)
        one.in_progress = [0.01, 0.02]
    standings[2].in_progress = [4.0, 3.5, 3.0, 0.1]
    (ejection,) = _outliers().judge(standings, 9.1)
    assert (ejection.index, ejection.reason) == (2, "stuck")


def test_an_endpoint_whose_clients_lose_patience_is_left_out() -> None:
    """They left after 2 s, where others answer in 10 ms; that some leave at once everywhere means nothing."""
    standings = _standings(3)
    for one in standings:
        for _ in range(50):
            one.abandon(0.1, 9.0)
    for one in standings[:2]:
        _calls(one, SUCCESS, 50, 9.0)
    assert _outliers().judge(standings, 9.1) == []
    for _ in range(4):
        standings[2].abandon(2.0, 9.2)
    (ejection,) = _outliers().judge(standings, 9.3)
    assert (ejection.index, ejection.reason) == (2, "abandoned")


def test_event_streams_on_all_endpoints_are_no_outliers() -> None:
    """All of them have calls that last, some a few more."""
    standings = _standings(3)
    for one, streams in zip(standings, (10, 14, 20), strict=True):
        _calls(one, SUCCESS, 20, 9.0)
        one.in_progress = [100.0] * streams
    assert _outliers().judge(standings, 9.1) == []


def test_long_calls_are_measured_by_the_peers_usual_total() -> None:
    """Where answers take a second to complete, ten seconds are not stuck."""
    standings = _standings(2)
    for one in standings:
        for _ in range(30):
            one.note(SUCCESS, 0.01, 9.0, 1.0)
    standings[0].in_progress = [10.0] * 20
    assert _outliers().judge(standings, 9.1) == []
    standings[0].in_progress = [21.0] * 20
    assert [one.reason for one in _outliers().judge(standings, 9.1)] == ["stuck"]


@pytest.mark.parametrize(
    ("count", "max_ejected", "most"),
    [
        (1, 0.5, 0),
        (1, 0.99, 0),
        (2, 0.5, 1),
        (3, 0.5, 1),
        (4, 0.5, 2),
        (10, 0.1, 1),
        (10, 0.0, 0),
        (3, 0.99, 2),
        (3, 1.0, 2),
    ],
)
def test_never_too_many_and_never_the_last(count: int, max_ejected: float, most: int) -> None:
    """All but the last one are far worse than it."""
    standings = _standings(count)
    outliers = _outliers(max_ejected)
    for second in range(30):
        now = float(second)
        for index, one in enumerate(standings):
            _calls(one, SUCCESS if index == count - 1 else FAILURE, 20, now)
        outliers.judge(standings, now + 0.5)
        assert sum(one.is_ejected(now + 0.5) for one in standings) <= most
    assert not standings[-1].times
    assert not standings or most == 0 or any(one.times for one in standings)


def test_the_worst_go_first() -> None:
    """When not all may."""
    standings = _standings(4)
    _calls(standings[0], SUCCESS, 200, 1.0)
    for one, failures in zip(standings[1:], (6, 30, 9), strict=True):
        _calls(one, FAILURE, failures, 1.0)
    _calls(standings[0], SUCCESS, 800, 1.0)
    found = _outliers().judge(standings, 1.1)
    assert [one.index for one in found] == [2, 3]


def _relapse(outliers: Outliers, standings: list[Standing], now: float) -> float:
    for one in standings[1:]:
        _calls(one, SUCCESS, 50, now)
    outliers.judge(standings, now)
    _calls(standings[0], FAILURE, 5, now)
    (ejection,) = outliers.judge(standings, now)
    assert ejection.index == 0
    return ejection.seconds


def test_each_time_in_a_row_is_longer_and_good_behaviour_shortens() -> None:
    """5, 10, 15 … up to 60 s; one time is forgotten every 10 s."""
    outliers = _outliers()
    standings = _standings(3)
    now = 1.0
    lengths = []
    for _ in range(14):
        lengths.append(_relapse(outliers, standings, now))
        now += lengths[-1]
    assert lengths == [min(60.0, 5.0 * times) for times in range(1, 15)]
    assert standings[0].times == 14
    outliers.judge(standings, now)
    for tenth in range(1, 1200):
        outliers.judge(standings, now + tenth / 10)
    assert 2 <= standings[0].times <= 3


def test_who_comes_back_is_judged_anew_and_starts_slowly() -> None:
    """What it did before is forgotten; its weight rises from a tenth within five seconds."""
    outliers = _outliers()
    standings = _standings(3)
    _relapse(outliers, standings, 1.0)
    one = standings[0]
    assert (one.is_ejected(5.9), one.is_ejected(6.0)) == (True, False)
    assert outliers.judge(standings, 6.0) == []
    assert (one.consecutive, one.penalty, one.window.calls) == (0, 1.0, 0)
    weights = [one.weight(6.0 + tenth / 2) for tenth in range(12)]
    assert weights[0] == pytest.approx(0.1)
    assert weights == sorted(weights)
    assert weights[-2:] == [1.0, 1.0]
    assert standings[1].weight(6.0) == 1.0


def test_shadow_finds_them_and_leaves_them_in() -> None:
    """Once for each sentence, not at each look."""
    outliers = _outliers(mode="shadow")
    standings = _standings(3)
    for one in standings[1:]:
        _calls(one, SUCCESS, 50, 1.0)
    _calls(standings[0], FAILURE, 50, 1.0)
    (ejection,) = outliers.judge(standings, 1.0)
    assert ejection.is_shadow
    assert not standings[0].is_ejected(1.1)
    assert standings[0].weight(1.1) == 1.0
    assert outliers.judge(standings, 1.1) == []


def test_off_judges_nobody() -> None:
    """But opinions still fade and weights still count."""
    outliers = _outliers(mode="off")
    standings = _standings(3)
    for one in standings[1:]:
        _calls(one, SUCCESS, 50, 1.0)
    _calls(standings[0], FAILURE, 50, 1.0)
    assert outliers.judge(standings, 1.0) == []
    assert standings[0].penalty > 100


def test_settings_are_heard() -> None:
    """The first sentence and the longest."""
    outliers = Outliers(OutlierSettings(ejected_for=Seconds(1), max_ejected_for=Seconds(2)))
    standings = _standings(2)
    assert [_relapse(outliers, standings, 1.0), _relapse(outliers, standings, 2.0)] == [1.0, 2.0]
    assert _relapse(outliers, standings, 4.0) == 2.0


def _drip(outliers: Outliers, standings: list[Standing], now: float) -> Ejection:
    """The first endpoint's calls do not end, those of its peers do."""
    for one in standings[1:]:
        _calls(one, SUCCESS, 50, now)
        one.in_progress = ()
    standings[0].in_progress = (3.0,) * 8
    (ejection,) = outliers.judge(standings, now)
    return ejection


def test_who_did_not_end_its_answers_comes_back_by_a_trial() -> None:
    """Its sentence over, it is still left out until a copy was answered; its weight rises from then on."""
    outliers, standings = _outliers(), _standings(3)
    assert _drip(outliers, standings, 1.0).reason == "stuck"
    one = standings[0]
    one.in_progress = ()
    assert (one.awaits_trial(5.9), one.awaits_trial(6.0), one.is_ejected(6.0)) == (False, True, True)
    one.is_on_trial = True
    assert not one.awaits_trial(6.1)
    one.try_out(6.2, has_passed=True)
    assert (one.is_ejected(6.2), one.weight(6.2)) == (False, pytest.approx(0.1))
    assert outliers.judge(standings, 6.25) == []


def test_who_fails_its_trial_is_left_out_for_longer() -> None:
    """At the next look, twice as long as the first time; a trial that showed nothing is made again."""
    outliers, standings = _outliers(), _standings(3)
    _drip(outliers, standings, 1.0)
    one = standings[0]
    one.in_progress = ()
    one.is_on_trial = True
    one.try_out(6.1, has_passed=None)
    assert one.awaits_trial(6.1)
    one.is_on_trial = True
    one.try_out(7.1, has_passed=False)
    assert not one.awaits_trial(7.1)
    (ejection,) = outliers.judge(standings, 7.25)
    assert (ejection.index, ejection.seconds, ejection.reason) == (0, 10.0, "stuck")
    assert one.is_ejected(17.2)


def test_without_any_copy_real_requests_find_out() -> None:
    """Ten seconds after its sentence it is back in any case, slowly."""
    outliers, standings = _outliers(), _standings(3)
    _drip(outliers, standings, 1.0)
    one = standings[0]
    one.in_progress = ()
    assert (one.is_ejected(15.9), one.is_ejected(16.0), one.weight(16.0)) == (True, False, pytest.approx(0.1))
    one.try_out(16.1, has_passed=False)  # a trial that ends too late says nothing
    assert outliers.judge(standings, 16.25) == []

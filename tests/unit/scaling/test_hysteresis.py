"""Out at once, in after a hold, and never more turns than the bound."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.scaling.hysteresis import FALL, Hysteresis, most_flips, most_turns

LEAST, LONGEST, TICK = 60.0, 240.0, 5.0


def follow(wants: list[int], start: int = 5) -> list[tuple[float, int]]:
    hysteresis = Hysteresis(LEAST, LONGEST)
    current, moves = start, []
    for tick, want in enumerate(wants):
        now = tick * TICK
        hysteresis.want(want, now)
        target = want
        if want < current:
            floor = hysteresis.floor(current, now)
            target = current if floor is None else max(min(floor, current), want)
        if target != current:
            moves.append((now, target - current))
            hysteresis.moved(target - current, now)
            current = target
    return moves


def turns(moves: list[tuple[float, int]]) -> int:
    return sum((one > 0) != (other > 0) for (_, one), (_, other) in pairwise(moves))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=400))
def test_turns_are_bounded_whatever_is_wanted(wants: list[int]) -> None:
    assert turns(follow(wants)) <= most_turns(len(wants) * TICK, LEAST)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=300))
def test_a_scale_in_never_comes_soon_after_a_scale_out(wants: list[int]) -> None:
    out_at = None
    for at, difference in follow(wants):
        if difference > 0:
            out_at = at
        elif out_at is not None:
            assert at - out_at >= FALL * LEAST


def test_scale_in_that_is_always_reversed_comes_more_and_more_rarely() -> None:
    """The worst load: it asks for the replica back as soon as it is gone."""
    hysteresis = Hysteresis(LEAST, LONGEST)
    current, flips, holds = 2, 0, []
    for tick in range(2000):
        now = tick * TICK
        hysteresis.want(1, now)
        if current == 2:
            floor = hysteresis.floor(current, now)
            if floor is not None and floor < 2:
                hysteresis.moved(-1, now)
                current = 1
        else:
            hysteresis.want(2, now)
            hysteresis.moved(1, now)
            current, flips = 2, flips + 1
            holds.append(hysteresis.hold)
    assert holds[:4] == [90.0, 135.0, 202.5, 240.0]
    assert flips <= most_flips(2000 * TICK, LEAST, LONGEST)


def test_quiet_takes_the_growth_back() -> None:
    hysteresis = Hysteresis(LEAST, LONGEST)
    hysteresis.want(5, 0.0)
    hysteresis.moved(-1, 0.0)
    hysteresis.moved(1, 5.0)
    assert hysteresis.hold == 90.0
    for tick in range(2, 60):
        hysteresis.want(5, tick * TICK)
    assert hysteresis.hold == LEAST


def test_in_goes_no_lower_than_what_was_wanted_in_the_hold() -> None:
    moves = follow([10] * 5 + [8] * 5 + [7] * 100, start=10)
    assert moves[0][1] == -2
    assert sum(difference for _, difference in moves) == -3


def test_after_a_surge_most_of_it_goes_early() -> None:
    moves = follow([30] + [3] * 6, start=3)
    assert moves[0] == (0.0, 27)
    assert moves[1][0] < LEAST


def test_the_last_replica_goes_after_a_whole_hold_only() -> None:
    """Nothing wanted for the short time after a surge takes all but the last; nothing wanted for a hold takes it, too."""
    moves = follow([5] + [0] * 20, start=1)[1:]
    assert sum(change for _, change in moves) == -5  # what came in the first step
    assert moves[-1][0] >= LEAST


def test_after_a_surge_nothing_goes_sooner_than_two_starts_take() -> None:
    """What would be needed again meanwhile would cost a start; and nothing waits longer than the hold for it."""
    for start, expected in ((0.0, 80.0), (30.0, 80.0), (60.0, 120.0), (300.0, 600.0), (3000.0, 600.0)):
        hysteresis, now = Hysteresis(600.0, 1200.0), 0.0
        hysteresis.want(20, now)
        hysteresis.moved(15, now)
        while True:
            now += TICK
            hysteresis.want(4, now)
            if hysteresis.floor(20, now, start) is not None:
                break
        assert expected <= now <= expected + TICK

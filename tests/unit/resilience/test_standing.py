"""What is thought of one endpoint."""

from __future__ import annotations

from math import exp, log
from random import Random

import pytest

from gateway.core.outcome import Outcome
from gateway.resilience.standing import Standing

SUCCESS, FAILURE, TIMEOUT, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.NEUTRAL


def _known(latency: float = 0.1) -> Standing:
    standing = Standing()
    for _ in range(50):
        standing.note(SUCCESS, latency, 1.0)
    return standing


def test_failing_fast_is_no_merit() -> None:
    """A hundred refusals in 1 ms each: the latency stays, the cost rises a thousandfold."""
    standing = _known()
    for _ in range(100):
        standing.note(FAILURE, 0.001, 1.0)
    assert standing.latency == pytest.approx(0.1)
    assert standing.penalty == pytest.approx(1000)
    assert standing.consecutive == 100


def test_an_endpoint_that_never_answered_is_not_free() -> None:
    """Its failures cost something though no latency is known."""
    standing = Standing()
    for _ in range(20):
        standing.note(FAILURE, 0.0, 1.0)
    assert standing.latency * standing.penalty > 1


def test_successes_bring_the_penalty_down() -> None:
    """Thirty of them, from the worst."""
    standing = _known()
    for _ in range(100):
        standing.note(FAILURE, 0.001, 1.0)
    for _ in range(30):
        standing.note(SUCCESS, 0.1, 1.0)
    assert standing.penalty < 1.05
    assert standing.consecutive == 0


def test_a_timeout_is_slow_and_a_failure() -> None:
    """Both are learned from it."""
    standing = _known()
    standing.note(TIMEOUT, 2.0, 1.0)
    assert standing.latency > 0.13
    assert standing.penalty > 1
    assert standing.window.failures == 1


def test_a_failure_after_a_long_wait_may_raise_the_latency() -> None:
    """Only a fast one says nothing."""
    standing = _known()
    standing.note(FAILURE, 2.0, 1.0)
    assert standing.latency == pytest.approx(0.1 * 20**0.1)


@pytest.mark.parametrize("before", [0, 1, 5, 50])
@pytest.mark.parametrize("factor", [20, 900])
def test_one_slow_answer_makes_nobody_slow(before: int, factor: int) -> None:
    """The first one, or one among others, that takes 900 times as long: it may be chance."""
    standing = Standing()
    for _ in range(before):
        standing.note(SUCCESS, 0.01, 1.0)
    standing.note(SUCCESS, 0.01 * factor, 1.0)
    assert standing.slowness(log(0.01), 1.0) == 1.0


@pytest.mark.parametrize(("factor", "answers"), [(20, 4), (5, 7), (3, 11)])
@pytest.mark.parametrize("before", [0, 50])
def test_a_few_slow_answers_do(before: int, factor: int, answers: int) -> None:
    """The slower it is the fewer are needed, whether it was well before or is new."""
    standing = Standing()
    for _ in range(before):
        standing.note(SUCCESS, 0.01, 1.0)
    for _ in range(answers):
        standing.note(SUCCESS, 0.01 * factor, 1.0)
    assert standing.slowness(log(0.01), 1.0) > 1.0


def test_what_is_less_than_twice_as_slow_is_noise() -> None:
    """And from there on slowness grows in proportion."""
    assert _known(0.019).slowness(log(0.01), 1.0) == 1.0
    assert _known(0.2).slowness(log(0.01), 1.0) == pytest.approx(10.0)


def test_a_client_that_leaves_says_nothing_but_that_it_left() -> None:
    """Neutral outcomes move no number; late departures are counted apart."""
    standing = _known()
    before = repr(standing)
    standing.note(NEUTRAL, 30.0, 1.0)
    standing.abandon(0.5, 1.0)
    assert (repr(standing), standing.abandoned) == (before, 0)
    standing.abandon(1.5, 1.0)
    assert standing.abandoned == 1
    standing.settle(20.0, 0.1, 10.0)
    assert standing.abandoned == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_usual_latency_is_the_geometric_mean(seed: int) -> None:
    """Within a fifth, for log-normal latencies with median 50 ms."""
    rng = Random(seed)
    standing = Standing()
    for _ in range(2000):
        standing.note(SUCCESS, 0.05 * rng.lognormvariate(0, 0.5), 1.0, 0.2)
    assert standing.usual_latency == pytest.approx(0.05, rel=0.4)
    assert standing.usual_total == pytest.approx(0.2)


def test_an_unknown_one_is_taken_for_its_peers() -> None:
    """Neither far better nor far worse, until it has answered."""
    standing = Standing()
    assert standing.usual_latency == 0
    standing.settle(0.1, 0.4, 10.0)
    assert standing.latency == 0.4
    standing.note(SUCCESS, 0.02, 0.2)
    assert standing.latency == pytest.approx(0.02)


def test_what_nobody_asks_is_given_another_chance() -> None:
    """A bad opinion fades by a time constant of five seconds towards the peers'."""
    standing = _known(2.0)
    for _ in range(100):
        standing.note(FAILURE, 0.0, 1.0)
    assert standing.slowness(log(0.1), 1.0) == pytest.approx(10.0)
    for tenth in range(10, 300):
        standing.settle(tenth / 10, 0.1, 10.0)
    assert standing.slowness(log(0.1), 6.0) == pytest.approx(20 ** exp(-1) / 2)
    assert standing.slowness(log(0.1), 30.0) == 1.0
    assert standing.penalty == pytest.approx(1.0, abs=0.02)


def test_what_turns_out_slow_again_is_believed_at_once() -> None:
    """The one request that finds out is not followed by others."""
    standing = _known(2.0)
    assert standing.slowness(log(0.1), 30.0) == 1.0
    standing.note(SUCCESS, 2.0, 30.0)
    assert standing.slowness(log(0.1), 30.0) == pytest.approx(10.0)


def test_what_is_asked_does_not_fade() -> None:
    """Calls speak for themselves."""
    standing = _known(2.0)
    for tenth in range(10, 300):
        standing.note(SUCCESS, 2.0, tenth / 10)
        standing.settle(tenth / 10, 0.1, 10.0)
    assert standing.slowness(log(0.1), 29.9) == pytest.approx(10.0)


def test_a_better_one_does_not_fade_to_worse() -> None:
    """Being quick is not forgotten."""
    standing = _known(0.01)
    for tenth in range(10, 300):
        standing.settle(tenth / 10, 0.1, 10.0)
    assert standing.latency == pytest.approx(0.01)

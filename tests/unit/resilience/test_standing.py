"""What is thought of one endpoint."""

from __future__ import annotations

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
    assert standing.latency > 0.5
    assert standing.penalty > 1
    assert standing.window.failures == 1


def test_a_failure_after_a_long_wait_may_raise_the_latency() -> None:
    """Only a fast one says nothing."""
    standing = _known()
    standing.note(FAILURE, 2.0, 1.0)
    assert standing.latency > 0.5


def test_longer_is_believed_faster_than_shorter() -> None:
    """One slow answer is noticed at once, and takes several good ones to forget."""
    standing = _known(0.01)
    standing.note(SUCCESS, 1.0, 1.0)
    assert standing.latency == pytest.approx(0.307)
    standing.note(SUCCESS, 0.01, 1.0)
    assert standing.latency == pytest.approx(0.2773)


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
    assert standing.latency == 0.02


def test_what_nobody_asks_is_given_another_chance() -> None:
    """A bad opinion fades by a time constant of five seconds towards the peers'."""
    standing = _known(2.0)
    for _ in range(100):
        standing.note(FAILURE, 0.0, 1.0)
    for tenth in range(10, 300):
        standing.settle(tenth / 10, 0.1, 10.0)
    assert standing.latency == pytest.approx(0.1, rel=0.1)
    assert standing.penalty == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("answers", "seconds"), [(1, 1.0), (5, 3.0), (40, 15.0)])
def test_what_few_answers_have_shown_is_forgotten_sooner(answers: int, seconds: float) -> None:
    """One answer that came late, when a connection was made, starves an endpoint for a second and not for a dozen."""
    standing = Standing()
    for _ in range(answers):
        standing.note(SUCCESS, 0.05, 0.0, 0.05)
    for tenth in range(1, int(10 * seconds / 3)):
        standing.settle(tenth / 10, 0.001, 10.0)
    assert standing.latency > 0.01
    for tenth in range(int(10 * seconds / 3), int(10 * seconds)):
        standing.settle(tenth / 10, 0.001, 10.0)
    assert standing.latency < 0.005


def test_what_is_asked_does_not_fade() -> None:
    """Calls speak for themselves."""
    standing = _known(2.0)
    for tenth in range(10, 300):
        standing.note(SUCCESS, 2.0, tenth / 10)
        standing.settle(tenth / 10, 0.1, 10.0)
    assert standing.latency == pytest.approx(2.0)


def test_a_better_one_does_not_fade_to_worse() -> None:
    """Being quick is not forgotten."""
    standing = _known(0.01)
    for tenth in range(10, 300):
        standing.settle(tenth / 10, 0.1, 10.0)
    assert standing.latency == pytest.approx(0.01)

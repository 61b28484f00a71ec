"""What counts as survived: refusals with a reason do, everything else does not."""

from __future__ import annotations

import pytest

from gateway.drill.client import BROKEN, GAVE_UP, NOT_SENT, Answer, problem_reason
from gateway.drill.shape import phases
from gateway.drill.tally import Tally, judge
from gateway.drill.verdict import verdict

LOAD = phases("surge", 100.0, 40.0)
SERVED, SHED = Answer(200), Answer(503, "queue_full")


def tally(*, top: Answer = SERVED, share: int = 2, after: Answer = SERVED, slow: float = 0.02) -> Tally:
    """One request every 10 ms for 40 s; of those at the top each so-manieth ends with ``top``."""
    found = Tally()
    for number in range(4000):
        due = number / 100
        is_top, is_after = 6 <= due < 30, due >= 30
        answer = top if is_top and number % share == 0 else after if is_after else SERVED
        found.send(due, due)
        found.take(due, due + (slow if is_after else 0.02), answer)
    return found


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200), "served"),
        (Answer(304), "served"),
        (Answer(301), "misdirected"),
        (Answer(307), "misdirected"),
        (Answer(503, "queue_full"), "refused"),
        (Answer(429, "rate_limited"), "refused"),
        (Answer(503), "failed"),
        (Answer(429), "misdirected"),
        (Answer(404, "no_route"), "misdirected"),
        (Answer(502, "connect_refused"), "failed"),
        (Answer(504, "request_timeout"), "failed"),
        (Answer(BROKEN, "broken"), "failed"),
        (Answer(GAVE_UP, "gave_up"), "failed"),
        (Answer(NOT_SENT, "not_sent"), "not_sent"),
    ],
)
def test_every_answer_is_one_of_five(answer: Answer, outcome: str) -> None:
    assert judge(answer).outcome == outcome


def test_refusals_with_a_reason_are_survived() -> None:
    """Half of everything refused at the top, and all served again afterwards, is what a gateway is for."""
    found = verdict(tally(top=SHED), LOAD, until=40.0)
    assert found.is_good
    assert found.words[0] == "The service survived."
    assert any("queue_full 1200" in words for words in found.words)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (tally(top=Answer(502, "connect_refused"), share=1200), "2 requests of 4000 failed"),
        (tally(top=Answer(404, "no_route"), share=1200), "is --path right?"),
        (tally(top=Answer(NOT_SENT, "not_sent"), share=1200), "could not be sent"),
        (tally(after=SHED), "did not recover: 100.0 %"),
        (tally(slow=2.0), "half of the answers took longer than 2.0 s"),
        (tally(top=SHED, share=1), "it collapsed"),
    ],
    ids=["failed", "misdirected", "not sent", "refused afterwards", "slow afterwards", "collapsed"],
)
def test_what_is_not_survived(case: Tally, words: str) -> None:
    """Each of these alone makes the verdict bad, and the words say which it was."""
    found = verdict(case, LOAD, until=40.0)
    assert not found.is_good
    assert any(words in each for each in found.words)


def test_an_early_end_is_not_judged_by_its_recovery() -> None:
    found = verdict(tally(after=SHED), LOAD, until=20.0)
    assert found.is_good
    assert found.words[0].startswith("Ended early.")


def test_without_requests_afterwards_nothing_is_known_of_the_recovery() -> None:
    """With --calm 0 nobody asks after the climb; that is said, and is no proof of survival to the end."""
    load = phases("surge", 100.0, 40.0, 0.0)
    seen = Tally()
    for number in range(600, 3000):
        seen.send(number / 100, number / 100)
        seen.take(number / 100, number / 100 + 0.02, SERVED)
    found = verdict(seen, load, until=40.0)
    assert found.words[0] == (
        "So far the service survived; whether it recovers was not seen: nothing was asked after the climb."
    )
    assert found.is_good


@pytest.mark.parametrize(("served", "is_good"), [(990, True), (989, False)])
def test_it_has_recovered_when_99_of_100_are_served_again(served: int, *, is_good: bool) -> None:
    """Of the second half of the last phase, which is where the load has been low for a while."""
    seen = Tally()
    for number in range(4000):
        due = number / 100
        is_last = due >= 35
        # 500 requests in the second half: each stands for two of a thousand
        answer = SHED if is_last and number - 3500 < (1000 - served + 1) // 2 else SERVED
        seen.send(due, due)
        seen.take(due, due + 0.02, answer)
    assert verdict(seen, LOAD, until=40.0).is_good is is_good


@pytest.mark.parametrize(
    ("body", "reason"), [(b'{"reason":"a"}', "a"), (b"[1]", ""), (b"{", ""), (b'{"reason":1}', "")]
)
def test_a_reason_is_a_word_in_a_problem(body: bytes, reason: str) -> None:
    assert problem_reason(body) == reason


def test_one_in_fifty_refused_afterwards_is_no_recovery() -> None:
    """When the load is low again nearly everything must be served."""
    found = Tally()
    for number in range(4000):
        due = number / 100
        found.send(due, due)
        found.take(due, due + 0.02, SHED if due >= 30 and number % 50 == 0 else SERVED)
    judged = verdict(found, LOAD, until=40.0)
    assert not judged.is_good
    assert any("did not recover: 2.0 %" in words for words in judged.words)

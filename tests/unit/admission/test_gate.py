"""The gate never lets more in than the limit, keeps the order, and loses nobody."""

from __future__ import annotations

import random
from itertools import pairwise
from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.admission.classes import TrafficClass
from gateway.admission.gate import Gate
from gateway.admission.hope import Hope
from gateway.admission.limits.limit import Stage
from gateway.admission.patience import ENDURED
from gateway.admission.queue import Queue
from gateway.admission.sample import Change, Sample
from gateway.admission.ticket import Ticket
from gateway.core.errors import REASONS
from gateway.core.outcome import Outcome

USUAL = TrafficClass("usual")
HIGH = TrafficClass("high", band=0)
LATENCY = 0.1


class Fixed:
    """A limit that moves when the test says so."""

    stage = Stage.PROVEN
    watch: Any = None
    latency = 0.0

    def __init__(self, value: int) -> None:
        self.value = value
        self.held = 0
        self.samples: list[Sample] = []
        self.change: Change | None = None

    def held_back(self, now: float) -> None:
        del now
        self.held += 1

    def update(self, sample: Sample) -> Change | None:
        self.samples.append(sample)
        if self.change is not None:
            self.value = self.change.limit
        return self.change


class Request(Ticket):
    """Remembers what became of it; may end as soon as it is admitted."""

    __slots__ = ("admitted_at", "gate", "is_instant", "told")

    def __init__(
        self, gate: Gate, traffic_class: TrafficClass = USUAL, *, is_instant: bool = False, **facts: Any
    ) -> None:
        super().__init__(traffic_class, **{"arrived_at": 0.0, **facts})
        self.gate = gate
        self.is_instant = is_instant
        self.admitted_at = inf
        self.told = ""

    def on_admitted(self, now: float) -> None:
        assert self.admitted_at == inf
        assert not self.told
        self.admitted_at = now
        if self.is_instant:
            self.gate.finish(sample(now, now), now)

    def on_shed(self, reason: str, now: float) -> None:
        del now
        assert not self.told
        assert self.admitted_at == inf
        self.told = reason


def sample(admitted_at: float, answered_at: float, outcome: Outcome = Outcome.SUCCESS) -> Sample:
    return Sample(admitted_at=admitted_at, answered_at=answered_at, in_flight=1, kind="", outcome=outcome)


def make(limit: int = 1, **bounds: Any) -> tuple[Gate, Fixed]:
    fixed = Fixed(limit)
    queue = Queue(**{"max_length": 100, "max_size": 10**9, "max_wait": 1.0, **bounds})
    return Gate(fixed, queue), fixed


def arrive(gate: Gate, now: float = 0.0, **facts: Any) -> Request:
    request = Request(gate, arrived_at=now, **facts)
    if gate.try_admit(now):
        request.on_admitted(now)
    else:
        refusal = gate.enqueue(request, now)
        if refusal is not None:
            request.told = refusal.reason
    return request


def busy(gate: Gate, seconds: float, every: float = 0.01) -> float:
    """Somebody always waits and one ends at each step, so that the gate learns how fast the upstream is."""
    now = 0.0
    arrive(gate, now)
    while now < seconds:
        for request in (arrive(gate, now), arrive(gate, now)):
            assert request.told in {"", "queue_full", "evicted"}
        now += every
        gate.finish(sample(now - LATENCY, now), now)
    return now


def test_as_many_as_the_limit_are_in_flight_and_the_rest_wait_in_order() -> None:
    """Each that ends lets in the one that came first."""
    gate, limit = make(2)
    requests = [arrive(gate) for _ in range(5)]
    assert repr(gate) == "<Gate in_flight=2/2 queued=3>"
    assert limit.held == 3
    for number in range(2, 5):
        gate.finish(sample(0.0, 0.01), 0.01)
        assert [request.admitted_at != inf for request in requests] == [True] * (number + 1) + [False] * (4 - number)
    for _ in range(2):
        gate.finish(sample(0.0, 0.02), 0.02)
    assert repr(gate) == "<Gate in_flight=0/2 queued=0>"


def test_nobody_overtakes_those_who_wait() -> None:
    """Though there is room, because the limit has grown meanwhile."""
    gate, limit = make(1)
    arrive(gate)
    first = arrive(gate)
    limit.value = 2
    second = arrive(gate)
    assert second.admitted_at == inf
    gate.admit_waiting(0.0)
    assert (first.admitted_at, second.admitted_at) == (0.0, inf)


def test_a_grown_limit_admits_as_many_more() -> None:
    """When a sample moves it, and the move is counted by its reason."""
    gate, limit = make(1)
    requests = [arrive(gate) for _ in range(5)]
    limit.change = Change(3, "more")
    gate.finish(sample(0.0, 0.01), 0.01)
    assert [request.admitted_at != inf for request in requests] == [True] * 4 + [False]
    assert (gate.in_flight, gate.changes) == (3, {"more": 1})


def test_a_shrunk_limit_admits_nobody_until_enough_have_ended() -> None:
    """Those in flight stay."""
    gate, limit = make(3)
    waiting = [arrive(gate) for _ in range(5)][3:]
    limit.value = 1
    for ended in range(3):
        assert [request.admitted_at for request in waiting] == [inf, inf]
        gate.finish(sample(0.0, 0.01), 0.01 * ended)
    assert (gate.in_flight, waiting[0].admitted_at, waiting[1].admitted_at) == (1, 0.02, inf)


def test_a_leaver_swallows_no_wake_up() -> None:
    """The place goes to the next one who is still there."""
    gate, _ = make(1)
    arrive(gate)
    gone, stays = arrive(gate), arrive(gate)
    gate.leave(gone, 0.0)
    gate.finish(sample(0.0, 0.01), 0.01)
    assert (gone.admitted_at, gone.told, stays.admitted_at) == (inf, "", 0.01)


def test_an_abort_says_nothing_of_latency() -> None:
    """The limit hears that a request ended and how, and the latency that the gate expects stays."""
    gate, limit = make(1)
    arrive(gate)
    gate.finish(sample(0.0, 5.0, Outcome.NEUTRAL), 5.0)
    assert [found.outcome for found in limit.samples] == [Outcome.NEUTRAL]
    assert (gate.latency, gate.in_flight) == (0.0, 0)


def test_failures_teach_the_limit_but_not_the_latency() -> None:
    """A fast error says nothing about how long an answer takes."""
    gate, limit = make(1)
    arrive(gate)
    gate.finish(sample(0.0, 0.001, Outcome.FAILURE), 0.001)
    assert (len(limit.samples), gate.latency) == (1, 0.0)


def test_the_rate_is_what_drains_while_somebody_waits() -> None:
    """And only that: an idle hour does not make the upstream look slow."""
    gate, _ = make(10, max_length=5)
    now = busy(gate, 2.0)
    assert gate.rate == pytest.approx(100, rel=0.1)
    while gate.in_flight:
        gate.finish(sample(now - LATENCY, now), now)
    for _ in range(20):  # now and then somebody waits for a moment
        now += 180
        requests = [arrive(gate, now) for _ in range(11)]
        gate.finish(sample(now - LATENCY, now), now)
        assert requests[-1].admitted_at == now
        while gate.in_flight:
            gate.finish(sample(now - LATENCY, now), now)
    assert gate.rate == pytest.approx(100, rel=0.1)


def test_a_slow_upstream_has_a_rate_too() -> None:
    """One answer in two seconds is half a request a second."""
    gate, _ = make(1, max_wait=1e6)
    busy(gate, 60.0, every=2.0)
    assert gate.rate == pytest.approx(0.5, rel=0.1)


def test_what_cannot_make_its_deadline_is_refused_on_arrival() -> None:
    """And what can is not: the wait is predicted from the rate and from who is ahead."""
    gate, _ = make(1, max_length=1000)
    now = busy(gate, 1.0)
    while gate.queue.count:
        gate.finish(sample(now - LATENCY, now), now)
    for _ in range(10):
        arrive(gate, now)
    ahead = gate.queue.count
    needed = (ahead + 1) / gate.rate + gate.latency
    refused = arrive(gate, now, deadline=now + needed * 0.5)
    assert refused.told == "deadline_unreachable"
    assert arrive(gate, now, deadline=now + needed * 1.5).told == ""
    assert arrive(gate, now).told == ""
    refusal = gate.enqueue(Request(gate, arrived_at=now, deadline=now + 0.01), now)
    assert refusal is not None
    assert refusal.observed > refusal.allowed == pytest.approx(0.01)
    assert refusal.retry_after >= (refusal.observed - gate.latency / 2) * 0.9  # the answer comes after the wait


def test_whoever_is_next_is_never_refused_for_a_prediction() -> None:
    """A rate that is wrong can only be learnt better when somebody waits."""
    gate, _ = make(1)
    gate.rate = 0.001
    arrive(gate)
    assert arrive(gate, deadline=0.5).told == ""


def test_a_prediction_for_one_key_does_not_count_the_queue_of_another() -> None:
    """A key that is served in turn waits for its turn only."""
    gate, _ = make(1, max_length=1000)
    gate.rate = 100.0
    arrive(gate)
    for _ in range(200):
        arrive(gate, key="greedy", cost=0.01)
    assert arrive(gate, key="greedy", deadline=0.5).told == "deadline_unreachable"
    assert arrive(gate, key="modest", deadline=0.5).told == ""


def test_it_is_judged_again_when_its_turn_comes() -> None:
    """What has no hope any more is shed, and its place goes to the next."""
    gate, _ = make(1)
    gate.latency = LATENCY
    arrive(gate)
    late, fine = arrive(gate, deadline=0.5), arrive(gate, deadline=5.0)
    gate.finish(sample(0.48 - LATENCY, 0.48), 0.09)
    assert late.admitted_at == 0.09
    gate.finish(sample(0.0, LATENCY), 0.095)
    assert fine.admitted_at == 0.095
    hopeless, after = arrive(gate, 0.095, deadline=0.12), arrive(gate, 0.095)
    gate.finish(sample(0.0, LATENCY), 0.11)
    assert (hopeless.told, after.admitted_at) == ("deadline_unreachable", 0.11)
    assert gate.in_flight == 1


def test_ticks_shed_who_waited_too_long() -> None:
    """Although nothing ends and nobody comes."""
    gate, _ = make(1, max_wait=0.05)
    arrive(gate)
    waiting = [arrive(gate) for _ in range(3)]
    gate.tick(0.049)
    assert gate.queue.count == 3
    gate.tick(0.05)
    assert {request.told for request in waiting} == {"queue_timeout"}
    assert gate.in_flight == 1


def test_five_hundred_that_end_as_soon_as_they_are_admitted_need_no_deep_stack() -> None:
    """An upstream that refuses at once empties the queue in one loop, in order."""
    order: list[int] = []

    class Numbered(Request):
        __slots__ = ("number",)

        def on_admitted(self, now: float) -> None:
            order.append(self.number)
            assert self.gate.in_flight == 1
            super().on_admitted(now)

    gate, _ = make(1, max_length=5000)
    arrive(gate)
    for number in range(5000):
        request = Numbered(gate, is_instant=True)
        request.number = number
        assert gate.enqueue(request, 0.0) is None
    gate.finish(sample(0.0, 0.0), 0.0)
    assert order == list(range(5000))
    assert (gate.in_flight, gate.queue.count) == (0, 0)


def test_retry_after_is_the_time_in_which_the_queue_drains() -> None:
    """At least one latency."""
    gate, _ = make(1, max_length=2)
    gate.latency = LATENCY
    gate.rate = 10.0
    assert gate.retry_after() == pytest.approx(0.1)
    for _ in range(3):
        arrive(gate)
    assert gate.retry_after() == pytest.approx(0.3)
    last = arrive(gate)
    assert last.told == "queue_full"
    assert gate.refusal("queue_delay", last, 0.7).retry_after == pytest.approx(0.3)
    for tenth in range(100):
        told = gate.refusal("queue_delay", last, 5.0 + tenth / 20).retry_after
    assert told == pytest.approx(4.95)  # an overload that has lasted so long


def test_every_reason_is_in_the_vocabulary() -> None:
    """With 503: it is our capacity that is short."""
    assert REASONS["deadline_unreachable"].status == 503


class GateMachine(RuleBasedStateMachine):
    """Random arrivals, endings, aborts and moves of the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.limit = make(3, max_length=8, max_wait=0.3)
        self.now = 0.0
        self.requests: list[Request] = []
        self.running: list[Request] = []
        self.left = 0

    def settle(self) -> None:
        for request in self.requests:
            if request.admitted_at != inf and request not in self.running and not request.is_instant:
                self.running.append(request)
        self.requests = [r for r in self.requests if r.admitted_at == inf and not r.told]

    @rule(
        traffic_class=st.sampled_from([HIGH, USUAL]),
        key=st.sampled_from("ab"),
        patience=st.sampled_from([0.02, 0.2, inf]),
        is_instant=st.booleans(),
    )
    def arrive(self, traffic_class: TrafficClass, key: str, patience: float, *, is_instant: bool) -> None:
        before = self.gate.queue.count
        request = arrive(
            self.gate,
            self.now,
            traffic_class=traffic_class,
            key=key,
            deadline=self.now + patience,
            is_instant=is_instant,
        )
        if request.admitted_at == self.now:
            assert before == 0
        self.requests.append(request)
        self.settle()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        request = data.draw(st.sampled_from(self.running))
        self.running.remove(request)
        self.gate.finish(sample(request.admitted_at, self.now, outcome), self.now)
        self.settle()

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.requests))
        self.gate.leave(request, self.now)
        self.requests.remove(request)
        self.left += 1

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.gate.tick(self.now)
        self.settle()

    @rule(value=st.integers(1, 6))
    def move(self, value: int) -> None:
        self.limit.value = value
        self.gate.admit_waiting(self.now)
        self.settle()

    @invariant()
    def everybody_is_somewhere(self) -> None:
        assert self.gate.in_flight == len(self.running)
        assert self.gate.queue.count == len(self.requests)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        assert not self.gate.queue.count or self.gate.in_flight >= self.limit.value

    def teardown(self) -> None:
        while self.running:
            request = self.running.pop()
            self.gate.finish(sample(request.admitted_at, self.now), self.now)
            self.settle()
        assert (self.gate.in_flight, self.gate.queue.count) == (0, 0)


GateMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestGateMachine = GateMachine.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_the_limit_holds_and_equals_keep_their_order(seed: int) -> None:
    """For a random crowd: in flight never above the limit; while no queue stands nobody overtakes."""
    rng = random.Random(seed)
    gate, limit = make(4, max_length=10_000, max_wait=10.0)
    ends: list[float] = []
    requests = []
    now = 0.0
    for _ in range(3000):
        now += rng.expovariate(25)
        for end in sorted(end for end in ends if end <= now):
            ends.remove(end)
            gate.finish(sample(end - 0.04, end), end)
        requests.append(arrive(gate, now))
        while len(ends) < gate.in_flight:
            ends.append(now + rng.uniform(0.02, 0.06))
        assert gate.in_flight <= limit.value
    admitted = [request for request in requests if request.admitted_at != inf]
    assert len(admitted) >= 2990
    assert any(request.admitted_at > request.arrived_at for request in admitted)
    assert all(first.admitted_at <= second.admitted_at for first, second in pairwise(admitted))


def test_a_bar_holds_back_without_the_limit() -> None:
    """While something else counts places, who finds none waits, and the limit does not hear of it."""
    limit = Fixed(10)
    gate = Gate(limit, Queue(max_length=10, max_size=10_000, max_wait=5.0))
    places = [1]
    gate.bar = lambda _now: bool(places)
    assert gate.try_admit(0.0)
    places.clear()
    assert not gate.try_admit(0.1)
    waiting = Request(gate)
    assert gate.enqueue(waiting, 0.1) is None
    assert not gate.try_admit(0.2)
    assert (limit.held, waiting.told) == (0, "")
    places.append(1)
    gate.tick(0.3)
    assert waiting.admitted_at == 0.3
    limit.value = 1
    assert not gate.try_admit(0.4)
    assert limit.held == 1


def test_a_prediction_counts_on_capacity_that_is_coming() -> None:
    """Twenty ahead at ten a second are two seconds; half a second from now on they are half a second more."""
    gate, _ = make(1, max_wait=10.0)
    gate.rate = 10.0
    for _ in range(21):
        arrive(gate)
    assert arrive(gate, deadline=1.5).told == "deadline_unreachable"
    gate.expect(Hope(0.5, 4.0), 0.0)
    assert arrive(gate, deadline=1.5).told == ""
    assert Hope(0.5, 4.0).wait(21, 10.0, 0.0) == pytest.approx(0.5 + 16 / 40)
    assert Hope(0.5, 4.0).wait(3, 10.0, 0.0) == pytest.approx(0.3)


def test_who_is_refused_is_told_when_capacity_will_be_there() -> None:
    """However long the overload has lasted; when nothing is coming any more, as ever."""
    gate, _ = make(1, max_length=1)
    gate.rate = 10.0
    for _ in range(2):
        arrive(gate)
    last = arrive(gate)
    assert last.told == "queue_full"
    for tenth in range(1200):
        lasting = gate.refusal("queue_full", last, tenth / 20).retry_after
    assert lasting > 3.0
    gate.expect(Hope(63.0, 2.0), 60.0)
    assert gate.refusal("queue_full", last, 60.0).retry_after == pytest.approx(3.0)
    gate.expect(None, 60.05)
    assert gate.hope is None
    assert gate.refusal("queue_full", last, 60.05).retry_after > 3.0


def test_who_waits_for_capacity_is_not_shed_before_it_comes() -> None:
    """The same crowd, more than the queue is patient with, is shed after a tenth of a second without the promise."""
    told = []
    for hope in (None, Hope(0.9, 2.0)):
        gate, _ = make(1, max_length=200)
        gate.queue.target = 0.03
        gate.expect(hope, 0.0)
        crowd = [arrive(gate) for _ in range(ENDURED + 2)]
        gate.tick(0.5)
        told.append({request.told for request in crowd[1:]})
    assert told == [{"queue_delay"}, {""}]


def test_a_crowd_before_a_proven_limit_waits_in_order() -> None:
    """As many as the queue endures are not shed for the delay, and the one that came first goes first."""
    gate, _ = make(1, max_length=200, max_wait=None)
    gate.queue.target = 0.03
    crowd = [arrive(gate) for _ in range(ENDURED)]
    gate.tick(0.9)
    assert {request.told for request in crowd} == {""}
    gate.finish(sample(0.0, 0.9), 0.9)
    assert crowd[1].admitted_at == 0.9


@pytest.mark.parametrize(("stage", "longest"), [(Stage.CLOSING, 8.0), (Stage.PROVEN, 4.0)])
def test_the_longest_wait_is_in_proportion_to_the_latency(stage: Stage, longest: float) -> None:
    """Two seconds in the upstream: four times that while a cut proves itself, twice that later."""
    gate, limit = make(1, max_wait=None)
    limit.stage = stage
    arrive(gate)
    gate.latency = 2.0
    waits = arrive(gate)
    gate.tick(longest - 0.01)
    assert waits.told == ""
    gate.tick(longest)
    assert waits.told == "queue_timeout"


def test_nobody_is_shed_for_waiting_while_nothing_is_known() -> None:
    """Not after an hour, and not for a prediction; a longest wait that was set is kept all the same."""
    gate, limit = make(1, max_wait=None)
    limit.stage = Stage.OPEN
    gate.rate = 0.001
    for _ in range(3):
        arrive(gate)
    waits = arrive(gate, deadline=5000.0)
    gate.tick(3600.0)
    assert waits.told == ""
    gate, limit = make(1, max_wait=1.0)
    limit.stage = Stage.OPEN
    arrive(gate)
    waits = arrive(gate)
    gate.tick(1.0)
    assert waits.told == "queue_timeout"


def test_clients_are_not_sent_away_for_longer_than_a_minute() -> None:
    """Whatever drains how slowly, and whenever capacity comes."""
    gate, _ = make(1, max_length=2)
    gate.rate = 0.01
    for _ in range(3):
        arrive(gate)
    gate.expect(Hope(500.0, 2.0), 0.0)
    assert gate.refusal("queue_full", arrive(gate), 0.0).retry_after == 60.0


def test_a_limit_that_grows_with_arrivals_admits_at_once() -> None:
    """Who waited goes first, then the one that came; the move is counted."""

    class Growing(Fixed):
        def held_back(self, now: float) -> None:
            del now
            self.value += 2

    gate = Gate(Growing(0), Queue(max_length=10, max_size=10, max_wait=None))
    assert gate.try_admit(0.0)
    assert (gate.in_flight, gate.changes) == (1, {"arrivals": 1})


def test_the_watch_of_a_limit_hears_of_each_admission() -> None:
    """At once or after a wait, as the how-manieth, with its kind; and of what is let go."""
    gate, limit = make(1)
    heard: list[tuple[float, int, str]] = []
    forgotten: list[Sample] = []

    class Watch:
        n = 0
        due = 0.0

        def begin(self, now: float, n: int, kind: str) -> None:
            heard.append((now, n, kind))

        def forget(self, sample: Sample) -> None:
            forgotten.append(sample)

    limit.watch = Watch()
    assert gate.try_admit(0.0, "page")
    arrive(gate, 0.1, kind="other")
    gone = sample(0.0, 0.2)
    gate.let_go(gone, 0.2)
    assert (heard, forgotten) == ([(0.0, 1, "page"), (0.2, 1, "other")], [gone])


def test_an_answer_whose_client_left_in_the_middle_teaches_the_limit_nothing() -> None:
    """It had begun, so the upstream was not silent; one that had not begun is heard of."""
    limit = Fixed(8)
    gate = Gate(limit, Queue(max_length=8, max_size=1000, max_wait=1.0))
    for _ in range(2):
        assert gate.try_admit(1.0)
    gate.finish(Sample(1.0, 1.1, 1, "all", Outcome.NEUTRAL), 5.0)
    assert limit.samples == []
    gate.finish(Sample(1.0, 5.0, 1, "all", Outcome.NEUTRAL), 5.0)
    assert len(limit.samples) == 1


def test_a_stream_that_lets_go_gives_its_place_and_teaches_nothing() -> None:
    """The next in line is admitted, neither limit nor latency learn, and the stream is counted until its end."""
    gate, limit = make(limit=1)
    first = arrive(gate)
    waits = arrive(gate, 0.1)
    assert gate.let_go(sample(first.admitted_at, 0.2), 0.2)
    assert waits.admitted_at == 0.2
    assert (gate.in_flight, gate.streams, gate.latency, limit.samples) == (1, 1, 0.0, [])
    gate.end_stream()
    assert (gate.in_flight, gate.streams) == (1, 0)


def test_beyond_the_bound_a_stream_keeps_its_place() -> None:
    """It is finished like any other request then."""
    gate, _ = make(limit=2)
    gate.max_streams = 1
    first, second = arrive(gate), arrive(gate)
    assert gate.let_go(sample(first.admitted_at, 0.2), 0.2)
    assert not gate.let_go(sample(second.admitted_at, 0.2), 0.2)
    assert (gate.in_flight, gate.streams) == (1, 1)
    gate.end_stream()
    assert gate.let_go(sample(second.admitted_at, 0.3), 0.3)
    assert gate.in_flight == 0


def test_a_place_that_is_taken_back_counts_whether_there_is_room_or_not() -> None:
    """Its upload is complete and the service works for it, so the next one waits until both places are free."""
    gate, _ = make(limit=1)
    first = arrive(gate)
    assert gate.let_go(sample(first.admitted_at, 0.2), 0.2)
    second = arrive(gate, 0.3)
    gate.take_back(0.4, "all")
    assert (gate.in_flight, gate.streams) == (2, 0)
    waits = arrive(gate, 0.5)
    gate.finish(sample(second.admitted_at, 0.6), 0.6)
    assert waits.admitted_at == inf
    gate.finish(sample(0.4, 0.7), 0.7)
    assert waits.admitted_at == 0.7


def test_a_suspended_gate_holds_everybody_and_lets_them_in_when_it_resumes() -> None:
    """Nobody is shed for a wait in which no endpoint served, however long, though the longest wait is a second."""
    gate = Gate(Fixed(2), Queue(max_length=10, max_size=1000, max_wait=None))
    gate.bar = lambda _now: False
    gate.suspend(0.0)
    requests = [Request(gate) for _ in range(3)]
    for request in requests:
        assert not gate.try_admit(0.0)
        assert gate.enqueue(request, 0.0) is None
    for now in (5.0, 60.0, 600.0):
        gate.tick(now)
    assert [request.told for request in requests] == [""] * 3
    gate.bar = None
    gate.resume(600.0)
    assert [request.admitted_at for request in requests] == [600.0, 600.0, inf]
    gate.tick(600.9)
    assert requests[2].told == ""
    gate.tick(601.1)
    assert requests[2].told == "queue_timeout"


def test_the_longest_wait_of_the_operator_holds_in_a_suspension_too() -> None:
    """``max_wait`` is of any request, whatever it waits for; what cannot be served by then is refused on arrival."""
    gate = Gate(Fixed(2), Queue(max_length=10, max_size=1000, max_wait=4.0))
    gate.bar = lambda _now: False
    gate.suspend(0.0)
    request = Request(gate)
    assert gate.enqueue(request, 0.0) is None
    gate.tick(4.1)
    assert request.told == "queue_timeout"
    gate.suspend(20.0)
    refusal = gate.enqueue(Request(gate, arrived_at=5.0), 5.0)
    assert refusal is not None
    assert refusal == ("deadline_unreachable", 15.0, 4.0, 15.0)


def test_who_has_less_time_than_the_first_endpoint_takes_is_refused_with_that_time() -> None:
    """The deadline decides; who has until then waits."""
    gate = Gate(Fixed(2), Queue(max_length=10, max_size=1000, max_wait=None))
    gate.bar = lambda _now: False
    gate.suspend(12.0)
    assert gate.enqueue(Request(gate, arrived_at=2.0, deadline=11.0), 2.0) == ("deadline_unreachable", 10.0, 9.0, 10.0)
    assert gate.enqueue(Request(gate, arrived_at=2.0, deadline=12.5), 2.0) is None

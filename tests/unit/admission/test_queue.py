"""Who waits, who is next, who has to go: against simple oracles, under any order of events."""

from __future__ import annotations

import random
from collections import Counter
from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.admission.classes import TrafficClass
from gateway.admission.queue import INTERVAL, Queue
from gateway.admission.ticket import Ticket
from gateway.core.errors import REASONS

HIGH = TrafficClass("high", band=0)
USUAL = TrafficClass("usual", band=1)
HEAVY = TrafficClass("heavy", band=1, weight=3.0)
LOW = TrafficClass("low", band=2, max_queue_share=0.5)
WORDS = {"queue_full", "queue_bytes_full", "queue_share_full", "queue_delay", "queue_timeout", "evicted"}


class Waiting(Ticket):
    """A ticket that remembers how it ended."""

    __slots__ = ("shed_at", "told")

    def __init__(self, traffic_class: TrafficClass = USUAL, **facts: Any) -> None:
        super().__init__(traffic_class, **{"arrived_at": 0.0, **facts})
        self.told = ""
        self.shed_at = inf

    def on_admitted(self, now: float) -> None:
        raise NotImplementedError

    def on_shed(self, reason: str, now: float) -> None:
        assert not self.told
        self.told = reason
        self.shed_at = now


def make(*, max_length: int = 1000, max_size: int = 10**9, max_wait: float = 1.0, target: float | None = None) -> Queue:
    queue = Queue(max_length=max_length, max_size=max_size, max_wait=max_wait)
    if target is not None:
        queue.target = target
    return queue


def fill(
    queue: Queue, times: int, now: float = 0.0, traffic_class: TrafficClass = USUAL, **facts: Any
) -> list[Waiting]:
    tickets = [Waiting(traffic_class, arrived_at=now, **facts) for _ in range(times)]
    for ticket in tickets:
        assert queue.push(ticket, now) == ""
    return tickets


def drain(queue: Queue, now: float = 0.0) -> list[Ticket]:
    tickets = []
    while (ticket := queue.pop(now)) is not None:
        tickets.append(ticket)
    return tickets


# --- order ---------------------------------------------------------------------------------------


def test_a_burst_is_served_first_come_first_served() -> None:
    """In a flow that has not waited for long, and in which not many wait."""
    queue = make()
    tickets = fill(queue, 8)
    assert drain(queue, INTERVAL * 0.99) == tickets


def _served_at_a_pace(arrivals_for_each: int) -> list[int]:
    """The numbers of those served within an interval, one in 2.5 ms, with so many arrivals for each of them."""
    queue = make(max_length=1000)
    served = []
    numbers: dict[Ticket, int] = {}
    for step in range(39):
        now = step * 0.0025
        for ticket in fill(queue, arrivals_for_each, now=now):
            numbers[ticket] = len(numbers)
        ticket = queue.pop(now)
        assert ticket is not None
        served.append(numbers[ticket])
    return served


def test_a_flow_that_is_going_to_stand_is_served_last_come_first_served_before() -> None:
    """At five times the pace, after a few hundredths of a second; not when what waits is served within half of one."""
    assert _served_at_a_pace(1) == list(range(39))
    surge = _served_at_a_pace(5)
    turned = next(number for number in range(39) if surge[number] != number)
    assert 4 < turned < 20
    assert surge[turned:] == [5 * number + 4 for number in range(turned, 39)]


def test_a_standing_flow_is_served_last_come_first_served() -> None:
    """The newest can still be answered in time."""
    queue = make()
    tickets = fill(queue, 20)
    assert drain(queue, INTERVAL) == tickets[::-1]


def test_a_flow_that_was_empty_for_a_moment_is_a_burst_again() -> None:
    """Standing means without a pause."""
    queue = make()
    fill(queue, 2)
    drain(queue, 1.0)
    tickets = fill(queue, 3, now=1.0)
    assert drain(queue, 1.0 + INTERVAL / 2) == tickets


def test_one_standing_flow_does_not_make_another_stand() -> None:
    """A key that keeps to its share is served in order, whatever the others do."""
    queue = make()
    fill(queue, 5, key="greedy")
    modest = fill(queue, 2, now=INTERVAL, key="modest")
    served = [ticket for ticket in drain(queue, INTERVAL) if ticket.key == "modest"]
    assert served == modest


def test_bands_are_strict() -> None:
    """Nobody of a lower band is served while somebody of a higher one waits."""
    queue = make()
    for traffic_class in (LOW, USUAL, HIGH, LOW, HIGH, USUAL):
        fill(queue, 1, traffic_class=traffic_class, cost=5.0)
    assert [ticket.traffic_class.band for ticket in drain(queue)] == [0, 0, 1, 1, 2, 2]


def test_classes_of_a_band_share_by_weight() -> None:
    """One of weight 3 gets three times as much."""
    queue = make()
    fill(queue, 100, traffic_class=USUAL, cost=0.01)
    fill(queue, 100, traffic_class=HEAVY, cost=0.01)
    counts = Counter(ticket.traffic_class.name for ticket in drain(queue)[:100])
    assert counts["heavy"] == pytest.approx(75, abs=2)


def test_what_costs_more_is_served_less_often() -> None:
    """Shares are of time, not of requests."""
    queue = make()
    fill(queue, 300, key="slow", cost=0.09)
    fill(queue, 300, key="quick", cost=0.01)
    counts = Counter(ticket.key for ticket in drain(queue)[:100])
    assert counts["quick"] == pytest.approx(90, abs=2)


@pytest.mark.parametrize("seed", range(5))
def test_keys_get_their_max_min_fair_shares(seed: int) -> None:
    """Against filling with water: the same to within 5 %, for demands from a twentieth of a share to fifty shares."""
    rng = random.Random(seed)
    slots = 4000
    demands = {f"k{number}": rng.choice([0.05, 0.3, 0.7, 1.2, 3.0, 50.0]) / 20 for number in range(20)}
    queue = make(max_length=10**6, max_wait=1e9)
    served: Counter[str] = Counter()
    offered: Counter[str] = Counter()
    credit = {key: rng.random() for key in demands}
    for slot in range(slots):
        for key, demand in demands.items():
            credit[key] += demand
            while credit[key] >= 1:
                credit[key] -= 1
                offered[key] += 1
                queue.push(Waiting(key=key, arrived_at=float(slot), cost=0.01), float(slot))
        ticket = queue.pop(float(slot))
        if ticket is not None:
            served[ticket.key] += 1
    for key, share in water(offered, slots).items():
        assert served[key] == pytest.approx(share, rel=0.05, abs=5)


def water(demands: Counter[str], room: float) -> dict[str, float]:
    """Everybody gets as much as everybody else, or all it wants."""
    shares: dict[str, float] = {}
    left = sorted(demands, key=lambda key: demands[key])
    while left:
        key = left.pop(0)
        shares[key] = min(demands[key], room / (len(left) + 1))
        room -= shares[key]
    return shares


def test_a_key_that_left_for_a_moment_pays_for_what_it_had() -> None:
    """Strangers that come meanwhile do not make the queue forget a long service; when it is paid for, it is forgotten."""
    queue = make()
    fill(queue, 1, key="long", cost=10.0)
    fill(queue, 80, key="other", cost=0.1)
    first = queue.pop(0.0)
    assert first is not None
    assert first.key == "long"
    for number in range(5):  # for each newcomer a few idle flows are looked at
        fill(queue, 1, key=f"stranger {number}", cost=0.1)
    fill(queue, 30, key="long", cost=0.1)
    served = [queue.pop(0.0) for _ in range(65)]
    assert not [ticket for ticket in served if ticket is None or ticket.key == "long"]
    drain(queue)
    for number in range(20):
        fill(queue, 1, key=f"later {number}", cost=0.1)
        drain(queue)
    assert len(queue._classes["usual"].flows) <= 3


def test_a_flood_of_invented_keys_leaves_a_known_key_its_turn() -> None:
    """It is one among those that wait, and the memory is bounded by those that wait."""
    queue = make(max_length=100)
    served = 0
    known = Waiting(key="known")
    queue.push(known, 0.0)
    for number in range(20_000):
        now = number * 1e-3
        queue.push(Waiting(key=f"invented-{number}", arrived_at=now, cost=0.001), now)
        queue.expire(now)
        if number % 2:
            queue.pop(now)
        if known.flow is None:
            served += not known.told
            known = Waiting(key="known", arrived_at=now, cost=0.001)
            known.told = queue.push(known, now)
    assert served >= 10_000 / 101 / 4  # with twice as many arrivals as there is service, half of its turns are lost
    assert len(queue._classes["usual"].flows) < 1000
    assert len(queue._watched) < 1500


# --- bounds --------------------------------------------------------------------------------------


def test_no_more_wait_than_allowed() -> None:
    """The arrival is refused when nobody has a longer flow and the queue is fresh."""
    queue = make(max_length=3)
    fill(queue, 3)
    assert queue.push(Waiting(), 0.0) == "queue_full"
    assert make(max_length=0).push(Waiting(), 0.0) == "queue_full"


def test_no_more_bytes_wait_than_allowed() -> None:
    """One that alone is too large is refused, and one too many."""
    queue = make(max_size=100)
    assert queue.push(Waiting(size=101), 0.0) == "queue_bytes_full"
    fill(queue, 2, size=40)
    assert queue.push(Waiting(size=21), 0.0) == "queue_bytes_full"
    assert queue.push(Waiting(size=20), 0.0) == ""


def test_a_class_fills_no_more_than_its_part() -> None:
    """Though the queue has room."""
    queue = make(max_length=10)
    fill(queue, 5, traffic_class=LOW)
    assert queue.push(Waiting(LOW), 0.0) == "queue_share_full"
    queue.resize(max_length=20)
    fill(queue, 5, traffic_class=LOW)
    assert queue.push(Waiting(LOW), 0.0) == "queue_share_full"
    assert queue.waiting() == {"low": 10}


def test_the_high_evict_the_low_and_never_the_other_way() -> None:
    """The lowest band goes first, its newest while it is a burst."""
    queue = make(max_length=4)
    low = fill(queue, 2, traffic_class=LOW)
    usual = fill(queue, 2, traffic_class=USUAL)
    assert [queue.push(Waiting(HIGH), 0.0) for _ in range(5)] == ["", "", "", "", "queue_full"]
    assert [ticket.told for ticket in (*low, *usual)] == ["evicted"] * 4
    for lower in (LOW, USUAL):
        assert queue.push(Waiting(lower), 10.0) == "queue_full"


def test_among_equals_the_longest_flow_makes_room() -> None:
    """For one that stays no longer than it; and never for an equal."""
    queue = make(max_length=4)
    greedy = fill(queue, 4, key="greedy")
    assert [queue.push(Waiting(key="modest"), 0.0) for _ in range(3)] == ["", "", "queue_full"]
    assert [ticket.told for ticket in greedy] == ["", "", "evicted", "evicted"]
    assert queue.push(Waiting(key="greedy"), 0.0) == "queue_full"


def test_in_a_standing_flow_the_oldest_makes_room() -> None:
    """It has no hope, since the newest are served first."""
    queue = make(max_length=4)
    tickets = fill(queue, 4)
    assert queue.push(Waiting(arrived_at=0.2), 0.2) == ""
    assert [ticket.told for ticket in tickets] == ["evicted", "", "", ""]


def test_nobody_is_evicted_for_an_arrival_that_is_refused_all_the_same() -> None:
    """One large request of a high class does not empty the queue in vain."""
    queue = make(max_size=100)
    low = fill(queue, 2, traffic_class=LOW, size=10)
    high = fill(queue, 1, traffic_class=HIGH, size=70)
    assert queue.push(Waiting(HIGH, size=60), 0.0) == "queue_bytes_full"
    assert [ticket.told for ticket in (*low, *high)] == ["", "", ""]
    assert queue.push(Waiting(HIGH, size=30), 0.0) == ""
    assert [ticket.told for ticket in low] == ["evicted", "evicted"]


def test_whoever_hears_of_an_eviction_may_come_back_at_once() -> None:
    """The queue is whole when others are told, so the bound holds."""

    class Stubborn(Waiting):
        __slots__ = ()

        def on_shed(self, reason: str, now: float) -> None:
            super().on_shed(reason, now)
            assert queue.count == 2
            assert queue.push(Stubborn(LOW), now) == "queue_full"

    queue = make(max_length=2)
    for _ in range(1):
        queue.push(Stubborn(LOW), 0.0)
    queue.push(Waiting(HIGH), 0.0)
    queue.push(Waiting(HIGH), 0.0)
    assert (queue.count, queue.waiting()) == (2, {"low": 0, "high": 2})


def test_after_the_bound_has_shrunk_those_beyond_it_stay() -> None:
    """Until they are served or shed; nobody new comes in."""
    queue = make(max_length=5)
    tickets = fill(queue, 5)
    queue.resize(max_length=2)
    assert queue.push(Waiting(), 0.0) == "queue_full"
    assert drain(queue) == tickets


# --- time ----------------------------------------------------------------------------------------


def test_in_a_burst_requests_may_wait_for_the_longest_wait() -> None:
    """Controlled delay is for queues that stand."""
    queue = make(max_wait=0.08, target=0.01)
    tickets = fill(queue, 3)
    queue.expire(0.079)
    assert queue.count == 3
    queue.expire(0.08)
    assert {ticket.told for ticket in tickets} == {"queue_timeout"}


def test_in_a_standing_flow_nobody_waits_for_longer_than_the_target() -> None:
    """As soon as it stands."""
    queue = make(target=0.01)
    old = fill(queue, 1)
    new = fill(queue, 1, now=INTERVAL - 0.005)
    queue.expire(INTERVAL - 1e-6)
    assert queue.count == 2
    queue.expire(INTERVAL)
    assert (old[0].told, new[0].told) == ("queue_delay", "")
    queue.expire(INTERVAL + 0.005)
    assert new[0].told == "queue_delay"


def test_a_key_within_its_share_is_not_shed_for_the_delay_of_another() -> None:
    """One at 20 times its share among 1,000: the others lose less than 1 %."""
    rng = random.Random(1)
    queue = make(max_length=500, target=0.008)
    offered: Counter[bool] = Counter()
    lost: Counter[bool] = Counter()
    tickets: list[Waiting] = []
    arrivals = sorted(
        [(rng.uniform(0, 20), f"tenant-{rng.randrange(999)}") for _ in range(int(999 * 0.99 * 20))]
        + [(rng.uniform(0, 20), "greedy") for _ in range(400)]
    )
    free_at = 0.0
    for at, key in arrivals:
        while free_at <= at:
            queue.expire(free_at)
            queue.pop(free_at)
            free_at += 0.001
        queue.expire(at)
        ticket = Waiting(key=key, arrived_at=at, cost=0.001)
        ticket.told = queue.push(ticket, at)
        tickets.append(ticket)
    for ticket in tickets:
        offered[ticket.key == "greedy"] += 1
        lost[ticket.key == "greedy"] += ticket.told != ""
    assert lost[False] < 0.01 * offered[False]


def test_among_many_flows_a_standing_one_has_its_share_of_the_target() -> None:
    """Five flows: each is served a fifth of the time, so its requests may wait five times as long."""
    alone, among = make(target=0.01), make(target=0.01)
    for queue, keys in ((alone, "a"), (among, "abcde")):
        for key in keys:
            fill(queue, 1, key=key)
            fill(queue, 1, now=INTERVAL, key=key)
        queue.expire(INTERVAL)
        assert queue.count == len(keys)
    assert alone.next_deadline() == INTERVAL + 0.01
    assert among.next_deadline() == pytest.approx(INTERVAL + 0.05)


def test_the_deadline_is_the_soonest_of_all_flows() -> None:
    """Also when the one that was soonest has left."""
    queue = make(max_wait=0.05)
    [first] = fill(queue, 1, key="a")
    fill(queue, 1, now=0.03, key="a")
    fill(queue, 1, now=0.02, key="b")
    queue.leave(first, 0.03)
    assert queue.next_deadline() == 0.07
    queue.expire(0.075)
    assert queue.waiting() == {"usual": 1}


def test_a_shorter_target_counts_for_those_who_wait_already() -> None:
    """Nobody is forgotten because the target was longer when it came."""
    queue = make(max_wait=10.0, target=5.0)
    tickets = fill(queue, 3)
    assert queue.next_deadline() == 5.0
    queue.target = 0.2
    assert queue.next_deadline() == 0.2
    queue.expire(0.2)
    assert {ticket.told for ticket in tickets} == {"queue_delay"}
    assert queue.next_deadline() == inf


def test_a_leaver_is_gone_at_once_and_leaves_nothing_behind() -> None:
    """Its place is free, its flow and class are not served in its name."""
    queue = make(max_length=1)
    [ticket] = fill(queue, 1, size=7)
    queue.leave(ticket, 0.0)
    queue.leave(ticket, 0.0)
    assert (queue.count, queue.size, queue.pop(0.0), queue.next_deadline()) == (0, 0, None, inf)
    fill(queue, 1)
    assert repr(queue) == "<Queue count=1/1 size=0>"


def test_ahead_is_how_many_are_really_served_before() -> None:
    """For one alone, for one among many flows, and below a higher band."""
    queue = make()
    fill(queue, 30, key="greedy", cost=0.01)
    fill(queue, 3, key="modest", cost=0.01)
    fill(queue, 4, traffic_class=HIGH, cost=0.01)
    for key in ("greedy", "modest", "new"):
        ticket = Waiting(key=key, cost=0.01)
        ahead = queue.ahead_of(ticket, 0.0)
        again = make()
        fill(again, 30, key="greedy", cost=0.01)
        fill(again, 3, key="modest", cost=0.01)
        fill(again, 4, traffic_class=HIGH, cost=0.01)
        again.push(ticket, 0.0)
        assert ahead == pytest.approx(drain(again).index(ticket), abs=4)


# --- anything in any order -----------------------------------------------------------------------


class QueueMachine(RuleBasedStateMachine):
    """Random events; the model knows only who came and who went."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue = make(max_length=12, max_size=60, max_wait=0.5, target=0.02)
        self.max_length = 12
        self.inside: list[Waiting] = []
        self.pushed = self.popped = self.refused = self.left = self.shed = 0

    def settle(self) -> None:
        """Whoever was shed is inside no more."""
        gone = [ticket for ticket in self.inside if ticket.told]
        assert all(ticket.told in WORDS for ticket in gone)
        self.shed += len(gone)
        self.inside = [ticket for ticket in self.inside if not ticket.told]

    @rule(
        traffic_class=st.sampled_from([HIGH, USUAL, HEAVY, LOW]),
        key=st.sampled_from(["", "a", "b", "c"]),
        size=st.sampled_from([0, 1, 20]),
        cost=st.sampled_from([0.0, 0.01, 0.1]),
    )
    def push(self, traffic_class: TrafficClass, key: str, size: int, cost: float) -> None:
        ticket = Waiting(traffic_class, arrived_at=self.now, key=key, size=size, cost=cost)
        before = list(self.inside)
        word = self.queue.push(ticket, self.now)
        self.pushed += 1
        if word:
            assert word in WORDS
            assert not ticket.told
            assert not any(other.told for other in before)
            self.refused += 1
        else:
            self.inside.append(ticket)
            evicted = [other for other in before if other.told]
            assert all(other.traffic_class.band >= traffic_class.band for other in evicted)
            assert self.queue.count <= self.max_length or not evicted
            self.settle()
        assert self.queue.size <= 60

    @rule()
    def pop(self) -> None:
        ticket = self.queue.pop(self.now)
        assert (ticket is None) is not self.inside
        if ticket is not None:
            assert ticket.traffic_class.band == min(other.traffic_class.band for other in self.inside)
            self.inside.remove(ticket)  # type: ignore[arg-type]
            self.popped += 1

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.inside))
        self.queue.leave(ticket, self.now)
        self.inside.remove(ticket)
        self.left += 1

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.05, 0.2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        due = self.queue.next_deadline()
        before = len(self.inside)
        assert due <= min((ticket.arrived_at for ticket in self.inside), default=inf) + 0.5
        self.queue.expire(self.now)
        self.settle()
        assert (len(self.inside) < before) is (due <= self.now)
        assert all(self.now - ticket.arrived_at < 0.5 for ticket in self.inside)

    @precondition(lambda self: self.inside)
    @rule()
    def sleep_until_the_deadline(self) -> None:
        due = self.queue.next_deadline()
        if due > self.now:
            self.queue.expire(self.now)
            assert self.queue.count == len(self.inside)
            self.now = due
        before = len(self.inside)
        self.queue.expire(self.now)
        self.settle()
        assert len(self.inside) < before

    @rule(seconds=st.sampled_from([0.005, 0.02, 0.3, 1.0]))
    def aim(self, seconds: float) -> None:
        self.queue.target = seconds

    @rule(max_length=st.integers(1, 12))
    def resize(self, max_length: int) -> None:
        self.queue.resize(max_length=max_length)
        self.max_length = max_length

    @invariant()
    def nobody_is_lost(self) -> None:
        assert self.queue.count == len(self.inside) == sum(self.queue.waiting().values())
        assert self.queue.size == sum(ticket.size for ticket in self.inside)
        assert self.pushed == self.popped + self.refused + self.left + self.shed + len(self.inside)
        assert self.queue.count <= 12


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestQueueMachine = QueueMachine.TestCase


def test_every_reason_is_in_the_vocabulary() -> None:
    """With 503: it is our capacity that is short, not the client's quota."""
    assert {REASONS[word].status for word in WORDS} == {503}


def test_the_same_events_end_the_same_way() -> None:
    """Nothing depends on chance or on hash seeds."""

    def story() -> list[str]:
        rng = random.Random(5)
        queue = make(max_length=20, target=0.01)
        told = []
        for number in range(2000):
            now = number * 0.002
            traffic_class = rng.choice([HIGH, USUAL, LOW])
            ticket = Waiting(traffic_class, arrived_at=now, key=f"k{rng.randrange(30)}", cost=rng.random() / 100)
            told.append(queue.push(ticket, now))
            queue.expire(now)
            if rng.random() < 0.7:
                found = queue.pop(now)
                told.append("" if found is None else f"{found.key} {found.arrived_at}")
        return told

    assert story() == story()


# --- while capacity is coming --------------------------------------------------------------------


def test_who_may_wait_until_capacity_has_come_is_not_shed_for_the_delay() -> None:
    """Only the longest wait counts then."""
    queue = make(target=0.05)
    tickets = fill(queue, 3)
    queue.hold(0.8, 0.0)
    queue.expire(0.99)
    assert queue.count == 3
    queue.expire(1.0)
    assert [ticket.told for ticket in tickets] == ["queue_timeout"] * 3


def test_who_cannot_wait_until_capacity_has_come_is_shed_as_ever() -> None:
    """For the longest wait allowed or for a deadline: waiting in vain helps nobody."""
    queue = make(target=0.05)
    late = fill(queue, 2, key="late", deadline=0.7)
    able = fill(queue, 2, key="able")
    queue.hold(0.8, 0.0)
    queue.expire(0.3)
    assert [ticket.told for ticket in late + able] == ["queue_delay"] * 2 + [""] * 2
    queue.hold(1.2, 0.35)
    assert [ticket.told for ticket in fill(queue, 2, now=0.36, key="new")] == ["", ""]
    queue.expire(0.9)
    assert queue.count == 4  # who waited when the promise was put off may wait on, and the new ones can wait until then


def test_when_capacity_has_come_those_who_wait_may_wait_on() -> None:
    """They could be served in the moment in which they would be shed; who comes later is judged as ever."""
    queue = make(target=0.05)
    held = fill(queue, 3, key="held")
    queue.hold(0.5, 0.0)
    queue.hold(inf, 0.5)
    new = fill(queue, 2, now=0.55, key="new")
    behind = fill(queue, 2, now=0.55, key="held")
    queue.look_again(0.8)
    queue.expire(0.8)
    assert [ticket.told for ticket in held + new] == ["", "", "", "queue_delay", "queue_delay"]
    for ticket in held:
        queue.leave(ticket, 0.8)
    queue.look_again(0.82)
    queue.expire(0.82)
    assert [ticket.told for ticket in behind] == ["queue_delay"] * 2
    assert queue.count == 0

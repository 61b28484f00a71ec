"""What a pool decides, from numbers, and that following it leads to what is wanted without ever serving with less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from gateway.pool.moves import Goal, Moves, Seen, plan
from gateway.pool.victims import by_worth

if TYPE_CHECKING:
    from gateway.pool.states import State


def ready(number: int, **more: object) -> Seen:
    return replace(Seen(number, "ready", is_able=True), **more)


def standby(number: int, **more: object) -> Seen:
    return replace(Seen(number, "standby", is_able=True), **more)


def test_what_is_missing_is_added() -> None:
    """An empty pool gets what serves and what stands by."""
    assert plan([], Goal(3, 1, 1)) == Moves(add=4)


def test_what_has_warmed_up_serves_or_stands_by() -> None:
    """Of those that are warm as many serve as are wanted, the others stand by."""
    warm = [Seen(n, "warming", is_able=True) for n in range(3)]
    assert plan(warm, Goal(2, 1, 1)) == Moves(promote=[0, 1], rest=[2])


def test_a_standby_is_promoted_at_once_and_replaced() -> None:
    """Growth promotes who stands by in the same breath in which its successor is added."""
    assert plan([ready(0), standby(1)], Goal(2, 1, 1)) == Moves(promote=[1], add=1)


def test_a_standby_stands_in_for_a_dead_one() -> None:
    """When a process has died whoever stands by serves; the dead one's place is kept."""
    assert plan([ready(0), Seen(1, "dead"), standby(2)], Goal(2, 1, 1)) == Moves(promote=[2])


def test_victims_in_their_order() -> None:
    """Who has no process goes first, then standby, then who boots, then by least in flight, oldest, fattest."""
    places = [
        ready(0, in_flight=5),
        ready(1, in_flight=1, age=10.0),
        ready(2, in_flight=1, age=10.0, rss=100),
        ready(3, in_flight=1, age=20.0),
        Seen(4, "booting"),
        standby(5),
        Seen(6, "quarantined"),
        ready(7, in_flight=1, is_due=True),
    ]
    assert [one.number for one in by_worth(places)] == [6, 5, 4, 7, 3, 2, 1, 0]


def test_shrinking_with_a_standby_ends_the_standby() -> None:
    """One less: the one that stands by ends, and one that served stands by instead, which no request notices."""
    places = [ready(0, in_flight=2), ready(1, in_flight=1), standby(2)]
    assert plan(places, Goal(1, 1, 1)) == Moves(rest=[1], leave=[2])


def test_memory_bounds_growth_and_ends_nothing() -> None:
    """No more than there is room for, but never less than the least, and what is there stays."""
    assert plan([ready(0)], Goal(5, 0, 1, room=3)).add == 2
    assert plan([], Goal(5, 0, 2, room=0)).add == 2
    assert plan([ready(n) for n in range(4)], Goal(4, 0, 1, room=1)) == Moves()


def test_nothing_grows_while_something_is_held() -> None:
    """While growth is held nothing is added, and shrinking goes on."""
    assert plan([ready(0), Seen(1, "quarantined")], Goal(5, 0, 1, may_grow=False)) == Moves()
    assert plan([ready(0), Seen(1, "quarantined")], Goal(1, 0, 1, may_grow=False)) == Moves(leave=[1])


def test_an_exchange_makes_before_it_breaks() -> None:
    """The oldest outdated one retires and its successor is added; it leaves when that serves, and not before."""
    goal = Goal(2, 0, 1)
    old = [ready(0, age=9.0, is_outdated=True), ready(1, age=10.0, is_outdated=True)]
    assert plan(old, goal) == Moves(retire=[1], add=1)
    retiring = [old[0], replace(old[1], is_retiring=True)]
    assert plan([*retiring, Seen(2, "booting")], goal) == Moves()
    warm = Seen(2, "warming", is_able=True)
    assert plan([*retiring, warm], goal) == Moves(promote=[2], leave=[1])
    assert plan([old[0], ready(2)], replace(goal, is_exchanging=True)) == Moves()
    assert plan([old[0], ready(2)], goal) == Moves(retire=[0], add=1)


def test_what_cannot_serve_and_is_outdated_is_begun_anew() -> None:
    """Nothing is gained by waiting for a process of an earlier order to become ready."""
    assert plan([Seen(0, "booting", is_outdated=True)], Goal(1, 0, 1)) == Moves(leave=[0], add=1)


def test_a_quarantined_successor_lets_the_old_one_stay() -> None:
    """When the successor is in a crash loop, whoever was to be replaced serves on."""
    places = [ready(0, is_retiring=True, is_due=True), Seen(1, "quarantined")]
    moves = plan(places, Goal(1, 0, 1, may_grow=False))
    assert (moves.keep, moves.leave, moves.add) == ([0], [1], 0)


def test_what_retires_stays_when_its_successor_is_gone_and_there_is_no_room_for_another() -> None:
    """A restart made the successor old before it was able: the one that it was for serves on, and is exchanged again."""
    serving = [Seen(number, "ready", is_able=True, is_outdated=True) for number in range(5)]
    retiring = Seen(5, "ready", is_able=True, is_outdated=True, is_retiring=True)
    successor = Seen(6, "spawning", is_outdated=True)
    goal = Goal(serving=6, standby=1, least=2, room=0)
    assert plan([*serving, retiring, successor], goal) == Moves(leave=[6], keep=[5])
    again = plan([*serving, replace(retiring, is_retiring=False)], goal)
    assert (len(again.retire), again.add, again.leave) == (1, 1, [])


class Pool(RuleBasedStateMachine):
    """A pool in numbers: its moves are carried out at once, its processes boot, die and age as hypothesis likes."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[int, Seen] = {}
        self.leaving: dict[int, bool] = {}
        self.goal = Goal(2, 1, 2)
        self.settle()

    def settle(self) -> None:
        for _ in range(20):
            goal = replace(
                self.goal,
                may_grow=not any(one.state == "quarantined" and not one.is_outdated for one in self.places.values()),
                is_exchanging=any(self.leaving.values()),
            )
            before = sum(one.state == "ready" for one in self.places.values())
            moves = plan(list(self.places.values()), goal)
            if moves == Moves():
                return
            self.carry_out(moves)
            after = sum(one.state == "ready" for one in self.places.values())
            assert after >= min(before, goal.serving)
        raise AssertionError("it never comes to rest")

    def carry_out(self, moves: Moves) -> None:
        for number in moves.keep:
            self.places[number] = replace(self.places[number], is_retiring=False, is_due=False)
        for number in moves.promote:
            assert self.places[number].is_able
            self.places[number] = replace(self.places[number], state="ready")
        for number in moves.rest:
            self.places[number] = replace(self.places[number], state="standby")
        for number in moves.leave:
            self.leaving[number] = self.places.pop(number).is_retiring
        for number in moves.retire:
            self.places[number] = replace(self.places[number], is_retiring=True)
        for _ in range(moves.add):
            number = next(n for n in range(1000) if n not in self.places and n not in self.leaving)
            self.places[number] = Seen(number, "spawning")

    def some(self, data: st.DataObject, *states: State) -> Seen | None:
        found = [one for one in self.places.values() if one.state in states]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(serving=st.integers(1, 6))
    def resize(self, serving: int) -> None:
        self.goal = replace(self.goal, serving=serving)
        self.settle()

    @rule(room=st.none() | st.integers(0, 8))
    def measure(self, room: int | None) -> None:
        self.goal = replace(self.goal, room=room)
        self.settle()

    @rule(data=st.data())
    def boot(self, data: st.DataObject) -> None:
        one = self.some(data, "spawning", "booting")
        if one is not None:
            state: State = "booting" if one.state == "spawning" else "warming"
            self.places[one.number] = replace(one, state=state, is_able=state == "warming")
            self.settle()

    @rule(data=st.data(), state=st.sampled_from(["dead", "quarantined", "stopping"]))
    def die(self, data: st.DataObject, state: State) -> None:
        one = self.some(data, "booting", "ready", "standby")
        if one is not None:
            self.places[one.number] = replace(one, state=state, is_able=False)
            self.settle()

    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        one = self.some(data, "dead", "quarantined", "stopping")
        if one is not None:
            self.places[one.number] = replace(one, state="spawning")
            self.settle()

    @rule(data=st.data())
    def grow_old(self, data: st.DataObject) -> None:
        one = self.some(data, "ready", "standby")
        if one is not None:
            self.places[one.number] = replace(one, is_due=True, age=one.age + 1)
            self.settle()

    @rule()
    def restart(self) -> None:
        self.places = {n: replace(one, is_outdated=True) for n, one in self.places.items()}
        self.settle()

    @precondition(lambda self: self.leaving)
    @rule(data=st.data())
    def be_gone(self, data: st.DataObject) -> None:
        self.leaving.pop(data.draw(st.sampled_from(sorted(self.leaving))))
        self.settle()

    @rule()
    def everything_goes_well(self) -> None:
        """When whatever boots becomes ready, the pool comes to have exactly what is wanted, all of it up to date."""
        self.goal = replace(self.goal, room=None)
        for _ in range(200):
            self.leaving.clear()
            self.places = {
                n: one if one.is_able else replace(one, state="warming", is_able=True) for n, one in self.places.items()
            }
            self.settle()
        states = [one.state for one in self.places.values()]
        assert (states.count("ready"), states.count("standby")) == (self.goal.serving, self.goal.standby)
        assert len(states) == self.goal.serving + self.goal.standby
        assert not any(one.is_outdated or one.is_due or one.is_retiring for one in self.places.values())

    @invariant()
    def one_at_a_time(self) -> None:
        retiring = [one for one in self.places.values() if one.is_retiring]
        assert len(retiring) <= 1
        assert len(self.places) - len(retiring) <= self.goal.serving + self.goal.standby

    @invariant()
    def nobody_waits_while_too_few_serve(self) -> None:
        states = [one.state for one in self.places.values()]
        assert states.count("ready") <= self.goal.serving
        if states.count("ready") < self.goal.serving:
            assert "standby" not in states


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

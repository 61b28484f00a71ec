"""One key may be charged its rate and its burst, whatever comes in whatever order."""

from __future__ import annotations

import random
from collections import defaultdict
from fractions import Fraction
from itertools import product
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.rate_limit import KeyedRateLimit
from gateway.core.ledger import WAYS, Ledger, begin, size

if TYPE_CHECKING:
    from gateway.core.ledger import Table

ROUNDING = 0.01  # of a request


class History:
    """What each key was charged and given back, by the time that never goes back."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self.now = -inf
        self._lines: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def see(self, now: float) -> None:
        """An instant at which the limit was asked, whatever it said."""
        self.now = max(self.now, now)

    def add(self, key: str, cost: float) -> None:
        self._lines[key].append((self.now, cost))

    def check(self) -> None:
        """Every window of every key, by looking at all of them."""
        for lines in self._lines.values():
            for start in range(len(lines)):
                charged = 0.0
                for time, cost in lines[start:]:
                    charged += cost
                    assert charged <= self.rate * (time - lines[start][0]) + self.burst + ROUNDING


steps = st.lists(
    st.tuples(
        st.one_of(st.floats(-5, 5), st.floats(0, 0.2), st.just(0.0), st.just(1e6)),
        st.integers(0, 12),
        st.sampled_from([1.0, 1.0, 1.0, 0.5, 3.0]),
        st.booleans(),
    ),
    max_size=120,
)


@given(steps, st.sampled_from([0.2, 3.0, 50.0]), st.integers(1, 8), st.sampled_from([1, 3, 1000]))
def test_no_window_of_any_key_has_more_than_rate_and_burst(
    story: list[tuple[float, int, float, bool]], rate: float, burst: int, max_keys: int
) -> None:
    """Less what was refunded in it; also when time jumps or goes back, and when the table is full."""
    limit = KeyedRateLimit(rate, burst, Ledger().table(max_keys))
    history = History(rate, burst)
    now = 1000.0
    for step, number, cost, is_shed in story:
        now += step
        key = str(number)
        history.see(now)
        if not limit.take(key, cost, now):
            history.add(key, cost)
            if is_shed:
                limit.refund(key, cost, now)
                history.add(key, -cost)
        assert len(limit.table) <= max_keys + WAYS
    history.check()


@given(
    st.lists(st.tuples(st.integers(0, 24), st.integers(0, 2), st.integers(1, 4)), max_size=150),
    st.integers(1, 20),
    st.integers(4, 20),
)
def test_decisions_are_those_of_a_bucket_of_tokens(story: list[tuple[int, int, int]], rate: int, burst: int) -> None:
    """An exact bucket, filled by fractions, lets the same requests pass."""
    limit = KeyedRateLimit(rate, burst)
    tokens: dict[int, Fraction] = {}
    filled: dict[int, Fraction] = {}
    now = Fraction(0)
    for eighths, key, cost in story:
        now += Fraction(eighths, 8)
        level = min(tokens.get(key, Fraction(burst)) + rate * (now - filled.get(key, now)), Fraction(burst))
        passes = level >= cost
        wait = limit.take(str(key), float(cost), float(now))
        assert (wait == 0.0) is passes
        if not passes:
            assert wait == pytest.approx(float((cost - level) / rate), abs=0.0011 / rate)
        tokens[key] = level - cost if passes else level
        filled[key] = now


@given(st.integers(1, 100), st.integers(1, 50), st.floats(0, 1e6), st.floats(1, 50))
def test_the_wait_that_is_told_is_enough_and_not_too_much(rate: int, burst: int, now: float, cost: float) -> None:
    """After it the request passes; well before it does not; and asking costs nothing."""
    limit = KeyedRateLimit(rate, burst)
    cost = min(cost, burst)
    while not limit.take("a", 1.0, now):
        pass
    wait = limit.take("a", cost, now)
    assert limit.wait("a", cost, now) == limit.take("a", cost, now) == wait > 0
    assert limit.take("a", cost, now + wait * 0.9) > 0
    assert limit.take("a", cost, now + wait + 1e-9) == 0


def test_a_burst_is_exact_at_every_time_and_rate() -> None:
    """Rounding neither takes a request from a burst nor adds one (at 300/s in a year without a restart)."""
    for rate, now in product((0.0003, 0.1, 3.0, 50.0, 300.0, 100_000.0), (0.0, 0.1, 12345.678, 3e7)):
        if rate * now < 1e10:
            limit = KeyedRateLimit(rate, 100)
            assert sum(not limit.take("a", 1.0, now) for _ in range(150)) == 100


def test_a_year_of_idleness_is_one_burst() -> None:
    """A bucket is never more than full."""
    limit = KeyedRateLimit(50, 10)
    limit.take("a", 1.0, 0.0)
    assert sum(not limit.take("a", 1.0, 3e7) for _ in range(100)) == 10


def test_time_that_goes_back_admits_nothing_more() -> None:
    """Not for keys that are known, and not for those forgotten since."""
    limit = KeyedRateLimit(1, 2, Ledger().table(1))
    assert [limit.take("a", 1.0, 100.0) for _ in range(2)] == [0.0, 0.0]
    assert limit.take("a", 1.0, 50.0) == pytest.approx(1.0, abs=0.002)
    for key in "bcdefgh":
        limit.take(key, 1.0, 200.0)
    assert len(limit.table) == 7, "there is no room for a any more"
    assert sum(not limit.take("a", 1.0, 100.0) for _ in range(5)) == 2


def test_who_is_refused_is_not_charged() -> None:
    """However often a client knocks, it waits no longer."""
    limit = KeyedRateLimit(1, 1)
    limit.take("a", 1.0, 0.0)
    waits = {limit.take("a", 1.0, 0.25) for _ in range(1000)}
    assert len(waits) == 1
    assert limit.take("a", 1.0, 1.0) == 0.0


def test_a_refund_gives_back_one_request_and_never_more_than_a_full_bucket() -> None:
    """A key that was shed asks again at once; one that is full stays full."""
    limit = KeyedRateLimit(1, 3)
    for _ in range(3):
        limit.take("a", 1.0, 0.0)
    limit.refund("a", 1.0, 0.0)
    assert [bool(limit.take("a", 1.0, 0.0)) for _ in range(2)] == [False, True]
    for _ in range(10):
        limit.refund("a", 1.0, 60.0)
        limit.refund("nobody", 1.0, 60.0)
    for key in ("a", "nobody"):
        assert sum(not limit.take(key, 1.0, 60.0) for _ in range(10)) == 3


def test_what_can_never_pass_has_an_endless_wait() -> None:
    """A cost above the burst."""
    limit = KeyedRateLimit(1, 3)
    assert limit.take("a", 4.0, 0.0) == limit.wait("a", 4.0, 0.0) == inf


def workers(count: int, rate: float, burst: float, keys: int = 1000) -> list[KeyedRateLimit]:
    """One rule at so many workers, which share their memory."""
    memory = memoryview(bytearray(size([keys], count)))
    begin(memory, 0.0, b"salt" * 4)
    ledgers = [Ledger(memory, workers=count, number=number) for number in range(count)]
    return [KeyedRateLimit(rate, burst, ledger.table(keys), ledger.epoch) for ledger in ledgers]


@given(
    st.lists(
        st.tuples(st.integers(0, 24), st.integers(0, 3), st.integers(0, 2), st.integers(1, 4), st.booleans()),
        max_size=150,
    ),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 4),
)
def test_several_workers_decide_as_one_does(
    story: list[tuple[int, int, int, int, bool]], rate: int, burst: int, count: int
) -> None:
    """Wherever a key's requests come, and wherever they are refunded, every answer is that of one worker alone."""
    one = KeyedRateLimit(rate, burst)
    many = workers(count, rate, burst)
    now = 0.0
    for eighths, number, key, cost, is_shed in story:
        now += eighths / 8
        here = many[number % count]
        expected = one.take(str(key), float(cost), now)
        assert here.take(str(key), float(cost), now) == pytest.approx(expected, abs=1e-6)
        if is_shed and not expected:
            one.refund(str(key), float(cost), now)
            here.refund(str(key), float(cost), now)
        assert {limit.quota(str(key), now).remaining for limit in many} == {one.quota(str(key), now).remaining}


@pytest.mark.parametrize("count", [1, 2, 16])
def test_what_one_worker_serves_has_the_whole_quota_there(count: int) -> None:
    """The burst at once and the rate after it, however many workers there are; a cost as high as the burst passes."""
    first, *_ = workers(count, rate=5, burst=10)
    assert sum(not first.take("a", 1.0, 0.0) for _ in range(20)) == 10
    assert sum(not first.take("a", 1.0, now / 10) for now in range(1, 101)) == 50
    assert first.take("b", 10.0, 0.0) == 0.0


@pytest.mark.parametrize("burst", [1, 2])
def test_a_burst_smaller_than_the_number_of_workers_is_neither_lost_nor_multiplied(burst: int) -> None:
    """As many pass as the burst says, at whichever workers they come."""
    for start in range(8):
        many = workers(8, rate=0.001, burst=burst)
        assert sum(not many[(start + step) % 8].take("a", 1.0, 0.0) for step in range(32)) == burst


def test_the_successor_of_a_dead_worker_goes_on_with_what_it_charged() -> None:
    """A worker with the same number on the same memory gives nobody a fresh burst, and lets nobody wait longer."""
    memory = memoryview(bytearray(size([100], 2)))
    begin(memory, 0.0, b"salt" * 4)

    def worker(number: int) -> KeyedRateLimit:
        return KeyedRateLimit(1, 10, Ledger(memory, workers=2, number=number).table(100))

    first, second = worker(0), worker(1)
    assert sum(not first.take("a", 1.0, 0.0) for _ in range(7)) == 7
    first = worker(0)
    assert sum(not first.take("a", 1.0, 0.0) for _ in range(10)) == 3
    assert second.take("a", 1.0, 0.5) == pytest.approx(0.5, abs=0.002)
    assert worker(1).take("a", 1.0, 1.0) == 0.0


class Late:
    """A table as a worker sees it that read of one key before others wrote."""

    def __init__(self, table: Table, key: str) -> None:
        self._table = table
        self._place = table.place(key)
        self._seen = table.find(*self._place)

    def find(self, base: int, mark: int) -> tuple[int, float, float]:
        return self._seen if (base, mark) == self._place else self._table.find(base, mark)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def test_a_charge_that_another_worker_did_not_see_is_paid_all_the_same() -> None:
    """Workers that decide in one instant let one request each pass beyond the burst, and that is owed."""
    first, second = workers(2, rate=1, burst=4)
    for _ in range(3):
        first.take("a", 1.0, 0.0)
    late = Late(second.table, "a")
    assert first.take("a", 1.0, 0.0) == 0.0
    second.table, table = late, second.table  # type: ignore[assignment]
    assert second.take("a", 1.0, 0.0) == 0.0
    second.table = table
    assert first.debt("a", 0.0) == second.debt("a", 0.0) == 5.0
    assert second.take("a", 1.0, 1.0) == pytest.approx(1.0, abs=0.002)


def test_quota_says_what_is_left_and_when_there_is_more() -> None:
    """At once as many as said pass, and one more after the seconds said."""
    limit = KeyedRateLimit(2, 4)
    assert limit.quota("a", 0.0) == (4, 0.0)
    limit.take("a", 3.0, 0.0)
    remaining, more_in = limit.quota("a", 0.1)
    assert remaining == 1
    assert more_in == pytest.approx(0.4, abs=0.001)
    assert limit.quota("a", 0.1 + more_in).remaining == 2
    assert limit.quota("a", 60.0) == (4, 0.0)
    assert repr(limit) == "<KeyedRateLimit rate=2 burst=4 keys=1>"


def test_a_million_invented_keys_take_bounded_memory_and_lose_nobody_a_burst() -> None:
    """Keys that owe nothing make room for those that come, so nobody shares while few owe something."""
    limit = KeyedRateLimit(50.0, 1, Ledger(salt=b"s").table(20_000))
    rng = random.Random(1)
    for number in range(200_000):
        assert limit.take(f"{rng.getrandbits(48):x}", 1.0, number * 1e-4) == 0.0  # 200 owe something at any time
    assert limit.overflowed == 0
    assert len(limit.table) <= 20_000 + WAYS


def test_a_full_table_gives_nobody_a_fresh_burst() -> None:
    """A flood of new keys does not make it forget a limited one; the flood itself shares, set by set."""
    limit = KeyedRateLimit(0.001, 5, Ledger(salt=b"s").table(7 * 14))
    for _ in range(5):
        assert limit.take("greedy", 1.0, 0.0) == 0
    passed = sum(not limit.take(f"invented-{number}", 1.0, 1.0) for number in range(50_000))
    assert limit.take("greedy", 1.0, 2.0) > 0
    assert len(limit.table) == 7 * 14
    assert passed == 7 * 14 - 1 + limit.overflowed
    assert limit.overflowed <= 14 * 5


def test_who_finds_room_late_starts_at_what_its_set_owes() -> None:
    """No key gains by a full table: what it was charged in company is not forgiven when it gets a place of its own."""
    limit = KeyedRateLimit(1, 5, Ledger(salt=b"s").table(7))
    for number in range(7):
        limit.take(f"k{number}", 0.5 if number == 0 else 5.0, 0.0)
    assert sum(not limit.take("late", 1.0, 0.0) for _ in range(9)) == 5
    assert limit.debt("late", 1.0) == pytest.approx(4.0)
    assert limit.take("late", 1.0, 1.0) == 0.0  # k0 owes nothing any more
    assert limit.overflowed == 5
    assert limit.debt("late", 1.0) == pytest.approx(5.0)


def test_the_same_salt_tells_the_same_story() -> None:
    """Nothing depends on the hash seed of the process or on chance."""

    def story(salt: bytes) -> list[float]:
        rng = random.Random(3)
        limit = KeyedRateLimit(0.01, 3, Ledger(salt=salt).table(20))
        return [limit.take(f"k{rng.randrange(3000)}", 1.0, number / 100) for number in range(3000)]

    assert story(b"a") == story(b"a")
    assert story(b"a") != story(b"b")

"""One key may be charged its rate and its burst, whatever comes in whatever order."""

from __future__ import annotations

import random
from collections import defaultdict
from fractions import Fraction
from itertools import product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.rate_limit import KeyedRateLimit
from gateway.admission.rate_table import SHARED, RateTable

ROUNDING = 0.01  # of a request


class History:
    """What each key was charged and given back, by the time that never goes back."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self.now = -inf
        self._lines: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, key: str, cost: float, now: float) -> None:
        self.now = max(self.now, now)
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
    limit = KeyedRateLimit(rate, burst, max_keys=max_keys)
    history = History(rate, burst)
    now = 1000.0
    for step, number, cost, is_shed in story:
        now += step
        key = str(number)
        if not limit.take(key, cost, now):
            history.add(key, cost, now)
            if is_shed:
                limit.refund(key, cost, now)
                history.add(key, -cost, now)
        assert len(limit.table) <= max_keys
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
    limit = KeyedRateLimit(1, 2)
    assert [limit.take("a", 1.0, 100.0) for _ in range(2)] == [0.0, 0.0]
    assert limit.take("a", 1.0, 50.0) == pytest.approx(1.0, abs=0.002)
    limit.take("b", 1.0, 200.0)
    limit.tick(200.0)
    assert len(limit.table) == 1
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


def test_shares_of_workers_add_up_to_the_whole() -> None:
    """Four workers with a quarter each let pass what one does."""
    workers = [KeyedRateLimit(40, 20) for _ in range(4)]
    for worker in workers:
        worker.set_share(0.25, 0.25)
    passed = sum(not worker.take("a", 1.0, now / 1000) for now in range(0, 10_000, 5) for worker in workers)
    assert passed == pytest.approx(40 * 10 + 20, abs=4)


@pytest.mark.parametrize("part", [0.01, 0.5, 1.0])
def test_a_changed_share_forgives_no_debt(part: float) -> None:
    """Nobody gets a fresh burst because the shares were dealt again; what is owed is paid off at the new rate."""
    limit = KeyedRateLimit(10, 20)
    for _ in range(20):
        limit.take("a", 1.0, 0.0)
    limit.set_share(part, 1.0)
    assert limit.take("a", 1.0, 0.0) > 0
    assert limit.debt("a", 1.0) == pytest.approx(20 - 10 * part)
    limit.set_share(1.0, 1.0)
    assert limit.debt("a", 2.0) == pytest.approx(20 - 10 * part - 10)


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


class CountingTable(RateTable):
    """Counts the entries that it examines."""

    examined = 0

    def forget(self, now: float, most: int) -> None:
        self.examined += most
        super().forget(now, most)


def test_a_million_invented_keys_take_bounded_memory_and_bounded_work() -> None:
    """Never more keys than allowed, at a few steps for each; keys that are as good as new make room."""
    table = CountingTable(max_keys=5000)
    rng = random.Random(1)
    largest = 0
    for number in range(1_000_000):
        now = number * 1e-4
        table.put(f"{rng.getrandbits(48):x}", now + 0.2, now)
        largest = max(largest, len(table))
    assert largest <= 4 * 2000  # 2,000 are worth remembering at any time
    assert largest <= 5000
    assert table.overflowed == 0
    assert table.examined <= 10 * 1_000_000
    assert repr(table).startswith("<RateTable keys=")


def test_a_full_table_gives_nobody_a_fresh_burst() -> None:
    """A flood of new keys does not make it forget a limited one; the flood itself shares."""
    limit = KeyedRateLimit(0.001, 5, max_keys=100)
    for _ in range(5):
        assert limit.take("greedy", 1.0, 0.0) == 0
    passed = sum(not limit.take(f"invented-{number}", 1.0, 1.0) for number in range(50_000))
    assert limit.take("greedy", 1.0, 2.0) > 0
    assert passed <= 99 + SHARED * 5
    assert len(limit.table) == 100
    assert limit.table.overflowed == passed - 99


def test_quiet_times_empty_the_table() -> None:
    """Ticks alone forget what is as good as new."""
    limit = KeyedRateLimit(10, 10)
    for number in range(1000):
        limit.take(str(number), 1.0, 0.0)
    for _ in range(20):
        limit.tick(10.0)
    assert len(limit.table) == 0


def test_the_same_salt_tells_the_same_story() -> None:
    """Nothing depends on the hash seed of the process or on chance."""

    def story(salt: bytes) -> list[float]:
        rng = random.Random(3)
        limit = KeyedRateLimit(0.01, 3, max_keys=20, salt=salt)
        return [limit.take(f"k{rng.randrange(3000)}", 1.0, number / 100) for number in range(3000)]

    assert story(b"a") == story(b"a")
    assert story(b"a") != story(b"b")

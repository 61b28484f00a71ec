"""Numbers by key in memory that several workers write, each its own region."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ledger import OVERFLOW, WAYS, Ledger, Table, begin, size


def tables(workers: int, *keys: int) -> list[list[Table]]:
    """The same tables at every worker."""
    memory = memoryview(bytearray(size(keys, workers)))
    begin(memory, 12.5, b"salt" * 4)
    ledgers = [Ledger(memory, workers=workers, number=number) for number in range(workers)]
    assert {ledger.epoch for ledger in ledgers} == {12.5}
    return [[ledger.table(each) for each in keys] for ledger in ledgers]


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(-5, 9)), max_size=60),
)
def test_every_worker_reads_the_sum_and_the_highest_of_what_all_wrote(
    workers: int, story: list[tuple[int, int, int]]
) -> None:
    """Nothing that one writes is lost or changed by another one, in none of the tables."""
    every = tables(workers, 100, 7)
    expected: dict[int, dict[int, tuple[float, float]]] = {}
    for number, key, amount in story:
        for table in every[number % workers]:
            place = table.place(str(key))
            own, _, highest = table.find(*place)
            if own < 0:
                own = table.claim(*place)
                highest = -inf
            table.add(own, amount)
            table.raise_to(own, max(highest, amount))
        written = expected.setdefault(key, {})
        before, highest = written.get(number % workers, (0.0, -inf))
        written[number % workers] = before + amount, max(highest, amount, *(two for _, two in written.values()))
    for key, written in expected.items():
        for worker in every:
            for table in worker:
                _, total, highest = table.find(*table.place(str(key)))
                assert (total, highest) == (
                    sum(one for one, _ in written.values()),
                    max(two for _, two in written.values()),
                )


def test_a_key_that_nothing_is_known_of_has_nothing() -> None:
    """No entry, no sum, and a highest below everything."""
    [[table]] = tables(1, 100)
    assert table.find(*table.place("a")) == (-1, 0.0, -inf)
    assert len(table) == 0
    assert repr(table) == "<Table keys=0/105>"


def test_room_is_made_only_by_what_is_worthless_at_all_workers_together() -> None:
    """What another worker knows of a key keeps its entry here; where nothing is worthless there is no room."""
    [[first], [second]] = tables(2, 7)
    for number in range(WAYS - 1):
        entry = first.claim(*first.place(str(number)))
        first.add(entry, 1.0)
        first.raise_to(entry, float(number))
    entry = second.claim(*second.place("0"))
    second.add(entry, 5.0)
    second.raise_to(entry, 0.0)
    late = first.place("late")
    assert first.claim(*late, 1.0) < 0, "1 + 5 + 0 is more, and 1 + 1 too"
    assert first.claim(*late, 2.0) >= 0
    assert first.find(*first.place("1"))[0] == -1, "1 + 1 was worthless"
    assert first.find(*first.place("0"))[1] == 6.0
    assert first.find(*late) == (first.find(*late)[0], 0.0, -inf)
    assert first.claim(*first.place("later")) < 0


def test_what_finds_no_room_shares_one_account_a_set() -> None:
    """It is a place of its own, which no key can take, and its numbers too are those of all workers."""
    [[first], [second]] = tables(2, 7)
    base, _ = first.place("any")
    for table in (first, second):
        entry = table.overflow(base)
        assert entry == table.overflow(base)
        table.add(entry, 2.0)
        table.raise_to(entry, 1.0)
    assert first.find(base, OVERFLOW)[1:] == (4.0, 1.0)
    for number in range(WAYS - 1):
        assert first.claim(*first.place(str(number))) >= 0
    assert first.find(base, OVERFLOW)[1:] == (4.0, 1.0)


def test_a_successor_finds_what_its_predecessor_wrote_and_can_forget_it() -> None:
    """Only its own region; what others wrote stays."""
    memory = memoryview(bytearray(size([50], 2)))
    begin(memory, 0.0, b"salt" * 4)
    for number in (0, 1):
        table = Ledger(memory, workers=2, number=number).table(50)
        table.add(table.claim(*table.place("a")), number + 1.0)
    again = Ledger(memory, workers=2, number=0).table(50)
    assert again.find(*again.place("a"))[1] == 3.0
    again.clear()
    own, total, _ = again.find(*again.place("a"))
    assert (own, total) == (-1, 2.0)


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_the_size_that_is_reserved_is_the_size_that_is_used(workers: int) -> None:
    """The last entry of the last table is inside, and not one byte is behind it."""
    assert size([], workers) == 4096
    assert size([7, 8], workers) == 4096 + 3 * WAYS * workers * 24
    ledger = Ledger(memoryview(bytearray(size([7, 8], workers))), workers=workers, number=workers - 1)
    ledger.table(7)
    table = ledger.table(8)
    table.overflow(WAYS * workers * 3)
    assert repr(ledger) == f"<Ledger worker={workers - 1}/{workers} bytes={size([7, 8], workers)}>"

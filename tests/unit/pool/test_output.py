"""A process that floods us costs a bounded number of lines, and its last words are heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pool.output import BURST, LAST, RATE, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class HandDriven(asyncio.SelectorEventLoop):
    """A loop whose time moves only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0

    def time(self) -> float:
        return self.at

    def turn(self) -> None:
        """One turn: what is due now."""
        self.call_soon(self.stop)
        self.run_forever()

    def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let so many seconds pass, a tenth at a time."""
        for _ in range(round(seconds * 10)):
            each()
            self.at += 0.1
            for _ in range(60):
                self.turn()


class Heard:
    """One stream, and what came of it: ``lines``, and the numbers of ``dropped`` ones in their order."""

    def __init__(self, loop: HandDriven) -> None:
        self.lines: list[str] = []
        self.dropped: list[int] = []
        self.loop = loop

        async def make() -> Output:
            return Output(self.lines.append, self.dropped.append)

        self.output = loop.run_until_complete(make())

    def write(self, first: int, count: int) -> None:
        """So many numbered lines in one piece."""
        self.output.data_received(b"".join(b"%d\n" % number for number in range(first, first + count)))


@pytest.fixture
def heard() -> Iterator[Heard]:
    """A stream on a loop of its own."""
    found = Heard(HandDriven())
    yield found
    found.loop.close()


def test_a_burst_passes_whole_a_few_lines_at_a_turn(heard: Heard) -> None:
    """A thousand lines at once are written in their order, and no turn of the loop writes more than fifty."""
    heard.write(0, BURST)
    counts = [len(heard.lines)]
    while len(heard.lines) < BURST:
        heard.loop.turn()
        counts.append(len(heard.lines))
    assert max(after - before for before, after in zip([0, *counts], counts, strict=False)) <= 50
    heard.loop.run(5)
    assert heard.lines == [str(number) for number in range(BURST)]
    assert heard.dropped == []


def test_of_a_flood_the_first_and_the_last_lines_are_heard_and_the_rest_is_counted(heard: Heard) -> None:
    """What a process says at the end of its flood follows the number of lines that are lost."""
    heard.write(0, 50_000)
    heard.output.data_received(b"FATAL the reason why")
    heard.output.connection_lost(None)
    heard.loop.run(1)
    # the reason had no room of its own either
    wanted = [*map(str, range(BURST)), *map(str, range(50_001 - LAST, 50_000)), "FATAL the reason why"]
    assert heard.lines == wanted
    assert heard.dropped == [50_001 - BURST - LAST]


def test_a_flood_that_lasts_is_told_of_once_a_second_and_bounded(heard: Heard) -> None:
    """The rate holds, however much comes; when it ends what came last is written."""
    written = 0

    def flood() -> None:
        nonlocal written
        heard.write(written, 2000)
        written += 2000

    heard.loop.run(10, flood)
    assert len(heard.lines) <= BURST + 10 * RATE + LAST
    assert 8 <= len(heard.dropped) <= 10
    heard.loop.run(3)
    assert heard.lines[-LAST:] == [str(number) for number in range(written - LAST, written)]
    assert len(heard.lines) + sum(heard.dropped) == written
    told = len(heard.dropped)
    heard.loop.run(60)
    heard.write(0, BURST)
    heard.loop.run(3)
    assert heard.lines[-BURST:] == [str(number) for number in range(BURST)], "a quiet minute fills the burst again"
    assert len(heard.dropped) == told


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 3)), max_size=12))
def test_every_line_is_written_once_or_counted_once(story: list[tuple[int, float]]) -> None:
    """In its order, whatever comes when."""
    heard = Heard(HandDriven())
    try:
        _tell(heard, story)
    finally:
        heard.loop.close()


def _tell(heard: Heard, story: list[tuple[int, float]]) -> None:
    written = 0
    for count, pause in story:
        heard.write(written, count)
        written += count
        heard.loop.run(pause)
    heard.output.connection_lost(None)
    heard.loop.run(1)
    assert len(heard.lines) + sum(heard.dropped) == written
    numbers = [int(line) for line in heard.lines]
    assert numbers == sorted(set(numbers))


def test_a_line_is_whole_up_to_64_kib(heard: Heard) -> None:
    """It may come in pieces; what is longer is cut there, and long lines use up the room of several."""
    for piece in (b"a" * 40_000, b"a" * 25_000, b"\n", b"b" * 70_000, b"\n"):
        heard.output.data_received(piece)
    heard.loop.run(0.2)
    assert heard.lines == ["a" * 65_000, "b" * 65_536, "b" * 4_464]
    for _ in range(60):
        heard.output.data_received(b"c" * 60_000 + b"\n")
    heard.loop.run(2.0)
    assert heard.dropped

"""When to ask again."""

from __future__ import annotations

from gateway.checks.pace import pause


def _questions(seconds: float, first: float, longest: float) -> int:
    lasted, count = 0.0, 0
    while lasted < seconds:
        count += 1
        lasted += pause(lasted, first, longest)
    return count


def test_who_boots_soon_is_seen_soon() -> None:
    """The time that is lost is a tenth of the time that it took, or the shortest pause."""
    for lasted in (0.0, 0.1, 0.5, 1.0, 5.0):
        assert pause(lasted, 0.05, 1.0) <= max(0.05, lasted / 10)


def test_who_never_becomes_well_hears_little_of_us() -> None:
    """Half a minute holds fewer than a hundred questions, and later there is one a second."""
    assert _questions(30.0, 0.05, 1.0) < 100
    assert _questions(630.0, 0.05, 1.0) - _questions(30.0, 0.05, 1.0) == 600

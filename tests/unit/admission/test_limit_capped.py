"""A lid lowers a limit and leaves it as it was when it is lifted."""

from __future__ import annotations

from gateway.admission.limits.capped import Capped
from gateway.admission.limits.fixed import Fixed


def test_the_smaller_of_both_holds() -> None:
    """A lid above the limit changes nothing."""
    assert Capped(Fixed(10), 4).value == 4
    assert Capped(Fixed(3), 4).value == 3


def test_a_lid_teaches_nothing() -> None:
    """Whoever waits because of the lid does not make the limit beneath believe that it is what holds traffic back."""
    told: list[float] = []

    class Beneath(Fixed):
        def held_back(self, now: float) -> None:
            told.append(now)

    Capped(Beneath(10), 4).held_back(1.0)
    Capped(Beneath(3), 4).held_back(2.0)
    assert told == [2.0]

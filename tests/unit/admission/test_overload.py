"""What those who are turned away are told of the overload."""

from __future__ import annotations

from gateway.admission.overload import LONGEST, Overload


def test_it_is_expected_to_last_as_long_again() -> None:
    """A burst is told to be one; later refusals are told longer times, up to a minute."""
    overload = Overload()
    told = [overload.refuse(5.0 + tenth * 0.05) for tenth in range(3000)]
    assert told[0] == 0.0
    assert abs(told[200] - 10.0) < 1e-9
    assert told[-1] == LONGEST
    assert told == sorted(told)


def test_a_pause_ends_it() -> None:
    """After a tenth of a second without a refusal the next one is of another overload."""
    overload = Overload()
    for tenth in range(100):
        overload.refuse(tenth * 0.05)
    assert overload.refuse(5.1) == 0.0
    assert repr(overload) == "<Overload lasted=0>"

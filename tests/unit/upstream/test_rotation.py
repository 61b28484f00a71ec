"""Who is in rotation, and with how much of its weight."""

from __future__ import annotations

import pytest

from gateway.upstream.rotation import Place, is_panic


def test_who_comes_back_begins_slowly() -> None:
    place = Place(0.0, is_new=False)
    assert place.part(5.0, 0.0) == 1.0
    place.set_up(10.0, is_up=False)
    place.set_up(20.0, is_up=True)
    assert [round(place.part(5.0, 20.0 + age), 2) for age in (0.0, 1.0, 2.5, 4.9, 5.0)] == [0.1, 0.2, 0.5, 0.98, 1.0]
    place.set_up(21.0, is_up=True)
    assert place.part(5.0, 25.0) == 1.0


def test_without_slow_start_everything_at_once() -> None:
    assert Place(3.0, is_new=True).part(0.0, 3.0) == 1.0
    assert Place(3.0, is_new=True).part(5.0, 3.0) == 0.1


@pytest.mark.parametrize(
    ("is_in", "ratio", "panics"),
    [
        ([True, True, True, False], 0.5, False),
        ([True, True, False, False], 0.5, False),
        ([True, False, False, False], 0.5, True),
        ([False], 0.5, True),
        ([False, False], 0.0, False),
    ],
)
def test_too_few_left_is_a_panic(is_in: list[bool], ratio: float, panics: bool) -> None:  # noqa: FBT001
    assert is_panic([1.0] * len(is_in), is_in, ratio) is panics


def test_the_weight_counts_not_the_number() -> None:
    assert not is_panic([8.0, 1.0, 1.0], [True, False, False], 0.5)
    assert is_panic([8.0, 1.0, 1.0], [False, True, True], 0.5)

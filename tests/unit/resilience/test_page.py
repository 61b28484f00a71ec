"""What is known of a page: how long its answers take, and when one that goes on is late."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.page import KINDS, Page, Pages, template


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "/"),
        ("/users", "/users"),
        ("/users/7", "/users/*"),
        ("/users/7/orders/3f2a", "/users/*/orders/*"),
        ("/a/b/c/d/e/f", "/a/b/c/d/*"),
        ("/a/b/c/d", "/a/b/c/d"),
        ("/files/this-is-a-name-that-somebody-made-up", "/files/*"),
        ("*", "*"),
    ],
)
def test_what_varies_is_a_wildcard(path: str, name: str) -> None:
    """Segments with a digit, long ones, and what lies deeper than four segments."""
    assert template(path) == name


@given(st.text(alphabet="/ab1-", max_size=60))
def test_a_name_is_its_own_name(path: str) -> None:
    """The page of a page's name is that page."""
    assert template(template(path)) == template(path)


def test_before_it_is_known_nothing_hangs_or_is_stuck() -> None:
    """Nine answers are too few."""
    page = Page("all", "/x", 2.0)
    for _ in range(9):
        page.note(0.01, 1.0)
        page.complete(0.02)
    assert (page.hangs_after, page.stuck_after, page.is_known_to_end) == (inf, inf, False)
    page.note(0.01, 1.0)
    page.complete(0.02)
    assert (page.hangs_after, page.stuck_after, page.is_known_to_end) == (2.0, 1.0, True)


def test_a_call_hangs_later_than_the_longest_of_late() -> None:
    """Among quick answers one took 6 s, so that 8 s are nothing unheard of."""
    page = Page("all", "/x", 2.0)
    for _ in range(20):
        page.note(0.01, 1.0)
    page.note(6.0, 2.0)
    assert page.hangs_after == pytest.approx(9.0)
    for _ in range(5000):
        page.note(0.01, 3.0)
    assert page.hangs_after == 2.0


def test_slow_follows_what_is_usual() -> None:
    """Five times the usual, where that is more than the threshold; slow calls do not make themselves usual."""
    page = Page("all", "/x", 2.0)
    for _ in range(40):
        page.note(1.0, 1.0)
    assert page.slow == pytest.approx(5.0)
    for _ in range(40):
        page.note(60.0, 2.0)
    assert page.slow == pytest.approx(5.0)


def test_an_answer_is_stuck_after_twenty_times_the_usual() -> None:
    page = Page("all", "/x", 2.0)
    for _ in range(40):
        page.complete(0.5)
    assert page.stuck_after == pytest.approx(10.0)


def test_pages_are_bounded_and_those_in_use_stay() -> None:
    """A stranger who thinks of a thousand paths does not push out the page that is asked."""
    pages = Pages("all", 2.0)
    used = pages.of("/used")
    for first in "abcdefghij":
        for second in "abcdefghij":
            for third in "abcdefghij":
                pages.of(f"/{first}{second}{third}")
                used.note(0.01, 1.0)
    assert len(pages) <= 256
    assert pages.of("/used") is used


def test_the_first_pages_are_kinds_of_their_own_and_the_rest_are_one() -> None:
    """A limit compares times within a kind: a page of 3 s is no evidence beside one of 10 ms, nor are a million pages."""
    pages = Pages("all", 1.0)
    first = [pages.of(f"/{name}").kind for name in "abcdefghijklmnop"]
    assert len(set(first)) == KINDS == 16
    assert {pages.of(f"/{name}").kind for name in ("qq", "rr", "ss")} == {"all"}
    assert pages.of("/a").kind == "all /a"
    for number in range(300):
        pages.of(f"/word{'x' * (number % 20)}{chr(97 + number % 26)}")
    assert pages.of("/a").kind == "all /a"  # also when it was forgotten meanwhile

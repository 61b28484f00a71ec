"""Ten buckets: what is counted, and what is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.window import Window


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """A call counts for nine to ten tenths of the window."""
    window = Window(10.0, 0.0)
    window.add(0.5, is_failure=True, is_slow=True)
    window.add(5.5)
    window.roll(9.9) if window.until <= 9.9 else None
    assert (window.calls, window.failures, window.slow) == (2, 1, 1)
    window.roll(10.1)
    assert (window.calls, window.failures, window.slow) == (1, 0, 0)
    window.roll(15.1)
    assert (window.calls, window.failures, window.slow) == (0, 0, 0)


def test_recent_calls_are_those_of_the_last_buckets() -> None:
    """What ended long ago in the window is not recent."""
    window = Window(10.0, 0.0)
    for now in (0.5, 1.5, 2.5, 8.5, 9.5):
        window.add(now)
    assert window.calls == 5
    assert window.recent(2.0, 9.6) == 2
    assert window.recent(9.0, 9.6) == 5


def test_counting_in_place_is_counting() -> None:
    """Who counts may increment the totals, as long as the bucket is rolled first."""
    window = Window(1.0, 0.0)
    window.calls += 3
    window.asked += 2
    window.roll(0.15)
    window.calls += 1
    assert (window.calls, window.asked) == (4, 2)
    window.roll(1.05)
    assert (window.calls, window.asked) == (1, 0)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.booleans()), max_size=60),
    st.floats(0.5, 20),
)
def test_totals_are_those_of_a_list_kept_beside_it(steps: list[tuple[float, bool, bool]], seconds: float) -> None:
    """No count ever differs from that of the calls in the last nine to ten buckets."""
    window = Window(seconds, 0.0)
    now = 0.0
    seen: list[tuple[float, bool, bool]] = []
    for step, is_failure, is_slow in steps:
        now += step
        window.add(now, is_failure=is_failure, is_slow=is_slow)
        seen.append((now, is_failure, is_slow))
        surely = [one for one in seen if one[0] > now - 0.9 * seconds + 1e-6]
        maybe = [one for one in seen if one[0] > now - seconds - 1e-6]
        assert len(surely) <= window.calls <= len(maybe)
        assert sum(one[1] for one in surely) <= window.failures <= sum(one[1] for one in maybe)
        assert sum(one[2] for one in surely) <= window.slow <= sum(one[2] for one in maybe)
        assert window.recent(seconds, now) == window.calls

"""When a pool without a ready process will have one."""

from __future__ import annotations

from gateway.pool.outlook import Outlook, Start, look_out


def test_a_pool_that_wants_none_has_one_coming_with_the_next_request() -> None:
    """A start then takes as long as it usually does; unknown is 0."""
    assert look_out([], usual=None, desired=0, now=5.0) == Outlook(is_coming=True, wait=0.0)
    assert look_out([], usual=7.0, desired=0, now=5.0) == Outlook(is_coming=True, wait=7.0)
    warm = [Start("standby", 0, 1.0, 0.0)]
    assert look_out(warm, usual=7.0, desired=0, now=5.0) == Outlook(is_coming=True, wait=0.0)


def test_the_first_of_several_starts_counts_and_one_that_is_late_is_expected_any_moment() -> None:
    """The wait is what is left of a usual start."""
    starts = [Start("spawning", 0, 10.0, 0.0), Start("booting", 0, 8.0, 0.0)]
    assert look_out(starts, usual=7.0, desired=2, now=11.0) == Outlook(is_coming=True, wait=4.0)
    assert look_out(starts, usual=7.0, desired=2, now=50.0) == Outlook(is_coming=True, wait=1.0)
    assert look_out(starts, usual=None, desired=2, now=11.0) == Outlook(is_coming=True, wait=0.0)


def test_one_failure_is_waited_out_and_two_are_not() -> None:
    """After the second failure in a row the outlook is the time of the next try and a usual start."""
    assert look_out([Start("dead", 1, 0.0, 12.0)], usual=None, desired=1, now=10.0).is_coming
    failed = [Start("dead", 2, 0.0, 14.0), Start("quarantined", 5, 0.0, 30.0)]
    assert look_out(failed, usual=3.0, desired=2, now=10.0) == Outlook(is_coming=False, wait=7.0)
    assert look_out(failed, usual=None, desired=2, now=20.0) == Outlook(is_coming=False, wait=0.0)

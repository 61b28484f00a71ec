"""When will a pool without a ready process have one? Told to those who hold requests for it (pure).

A process is coming while it starts, or is about to, unless it has failed twice in a row before it could serve: then
requests that wait for it would wait in vain, and are better turned away with the time of the next try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.pool.states import State

FAILURES: Final = 1
"""A start may fail this often in a row, and the next one is still waited for."""
_OVERDUE: Final = 1.0
"""Seconds in which a start that takes longer than usual is expected, again and again."""
_STARTING: Final = frozenset({"spawning", "booting", "warming", "dead"})


class Start(NamedTuple):
    """One place: its state, its failures in a row, since when it is under way, and when it tries again if it failed."""

    state: State
    failures: int
    begun: float
    tries_again_at: float


class Outlook(NamedTuple):
    """Whether a process is coming, and in how many seconds it, or the next try, will; 0 while that is not known."""

    is_coming: bool
    wait: float


def look_out(starts: Sequence[Start], *, usual: float | None, desired: int, now: float) -> Outlook:
    """The outlook of a pool of which no process serves; ``usual`` is how long a start takes, None while unknown.

    A pool that wants none has one on its way as soon as there is a request; one on standby serves at once.
    """
    if any(one.state == "standby" for one in starts):
        return Outlook(is_coming=True, wait=0.0)
    if not desired:
        return Outlook(is_coming=True, wait=usual or 0.0)
    hopeful = [one for one in starts if one.state in _STARTING and one.failures <= FAILURES]
    if hopeful:
        waits = [usual - (now - one.begun) if usual is not None else 0.0 for one in hopeful]
        return Outlook(is_coming=True, wait=0.0 if usual is None else max(min(waits), _OVERDUE))
    again = min((one.tries_again_at for one in starts), default=now)
    return Outlook(is_coming=False, wait=max(again - now, 0.0) + (usual or 0.0))

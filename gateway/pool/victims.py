"""Who goes first when there are too many? (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.pool.moves import Seen
    from gateway.pool.states import State

# What has no process, or one that did not become ready and is being ended, costs nothing to give up; what serves
# comes last.
_ORDER: Final[dict[State, int]] = {
    "quarantined": 0,
    "dead": 0,
    "spawning": 0,
    "stopping": 0,
    "standby": 1,
    "booting": 2,
    "warming": 2,
    "ready": 3,
}


def by_worth(places: Iterable[Seen]) -> list[Seen]:
    """The places, those first that are missed least.

    Without a process, standby, booting or warming, then ready; of equals those that are to be replaced anyway, then by
    least in flight, the oldest first, the fattest among those of one age.
    """
    return sorted(
        places,
        key=lambda one: (
            _ORDER[one.state],
            not (one.is_outdated or one.is_due),
            one.in_flight,
            -one.age,
            -one.rss,
            -one.number,
        ),
    )

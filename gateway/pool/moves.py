"""What shall be done with the processes of a pool now? Decided in one place, from numbers (pure).

A place is one process, the next one when that dies, and so on. Places that are leaving are not seen here. A *retiring*
place serves until all others can do without it; then it leaves: whatever is replaced goes that way, one at a time, so
there is never less than was wanted. *Lasting* are those that do not retire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from gateway.pool.states import State
from gateway.pool.victims import by_worth

if TYPE_CHECKING:
    from collections.abc import Sequence


class Seen(Struct, frozen=True):
    """One place. ``is_able`` while it has a warm process; ``age`` in seconds since it has, ``rss`` in bytes."""

    number: int
    state: State
    is_able: bool = False
    is_retiring: bool = False
    is_outdated: bool = False
    is_due: bool = False
    in_flight: int = 0
    age: float = 0.0
    rss: int = 0


class Goal(Struct, frozen=True):
    """What is wanted: so many that serve, so many beside them on standby.

    ``room`` is how many memory allows in all (None = unknown), but ``least`` are always allowed. ``may_grow`` is false
    while something is, or lately was, in quarantine; ``is_exchanging`` while a place that retired is still leaving.
    """

    serving: int
    standby: int
    least: int
    room: int | None = None
    may_grow: bool = True
    is_exchanging: bool = False


class Moves(Struct):
    """What to do, by numbers of places; in this order it never leaves fewer serving than there were or are wanted."""

    promote: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    """Warm or ready ones that go on standby."""
    leave: list[int] = field(default_factory=list)
    retire: list[int] = field(default_factory=list)
    keep: list[int] = field(default_factory=list)
    """Retiring ones that stay after all."""
    add: int = 0


def plan(places: Sequence[Seen], goal: Goal) -> Moves:
    """The moves that bring these places nearer to the goal; none when nothing can be done now."""
    moves = Moves()
    # What is not able and of an earlier command or order need not be replaced: it is started anew.
    stale = [one for one in places if one.is_outdated and not one.is_able]
    moves.leave += [one.number for one in stale]
    present = [one for one in places if one not in stale]
    retiring = [one for one in present if one.is_retiring]
    if retiring and any(one.state == "quarantined" for one in present):
        moves.keep += [one.number for one in retiring]
        retiring = []
    lasting = [one for one in present if one not in retiring]
    wanted = goal.serving + goal.standby
    for victim in by_worth(lasting)[: max(0, len(lasting) - wanted)]:
        moves.leave.append(victim.number)
        lasting.remove(victim)
    allowed = wanted if goal.room is None else min(wanted, max(goal.room, goal.least, len(lasting)))
    if goal.may_grow:
        moves.add = max(0, allowed - len(lasting))
    missing = max(allowed, len(lasting)) - sum(one.is_able for one in lasting)
    if missing <= 0 and retiring and _are_needed(lasting, retiring, goal):
        moves.keep += [one.number for one in retiring]
    elif missing <= 0:
        moves.leave += [one.number for one in retiring]
        retiring = []
        if goal.may_grow and not goal.is_exchanging and not moves.leave:
            _exchange(lasting, moves)
    _give_roles([one for one in (*lasting, *retiring) if one.is_able], goal.serving, moves)
    return moves


def _are_needed(lasting: list[Seen], retiring: list[Seen], goal: Goal) -> bool:
    """Whether too few would serve without those that retire: a successor has gone, and there is no room for another."""
    able = sum(one.is_able for one in lasting)
    return able < min(goal.serving, able + sum(one.is_able for one in retiring))


def _exchange(lasting: list[Seen], moves: Moves) -> None:
    """Let the next one retire that shall be replaced, outdated and old ones first, and start its successor."""
    chosen = min(
        (one for one in lasting if one.is_outdated or one.is_due),
        key=lambda one: (not one.is_outdated, -one.age, one.number),
        default=None,
    )
    if chosen is not None:
        moves.retire.append(chosen.number)
        moves.add += 1


def _give_roles(able: list[Seen], serving: int, moves: Moves) -> None:
    """Exactly ``serving`` of those that are able serve, all when they are fewer; the others are on standby."""
    ready = [one for one in able if one.state == "ready"]
    others = [one for one in able if one.state != "ready"]
    # What retires soon should not be brought in; what has just warmed up is as good as what waits.
    others.sort(key=lambda one: (one.is_retiring, one.is_outdated, one.state != "standby", one.number))
    chosen = others[: max(0, serving - len(ready))]
    moves.promote += [one.number for one in chosen]
    moves.rest += [one.number for one in others if one not in chosen and one.state == "warming"]
    excess = max(0, len(ready) + len(chosen) - serving)
    moves.rest += [one.number for one in by_worth(ready)[:excess]]

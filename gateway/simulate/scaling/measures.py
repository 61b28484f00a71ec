"""What a story was worth: violations, cost beside the oracle's, elasticity in the measures of SPEC, and unrest."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.simulate.scaling.world import World

FLIP_WITHIN: Final = 600
"""A change that reverses the last one within so many seconds is a flip."""
_DAY: Final = 86400.0


class Measures(NamedTuple):
    """One policy in one story.

    The measures of elasticity are those of the SPEC RG Cloud Group (Herbst et al. 2016, *Ready for Rain?*): θ_U and
    θ_O are the mean relative lack and surplus of replicas against the oracle, τ_U and τ_O the shares of time with
    one, all in per cent.
    """

    violations: float
    """Per cent of all arrivals that waited longer than the objective or were shed."""
    shed: float
    """Per cent of all arrivals."""
    cost: float
    """Replica seconds paid for, as a multiple of the oracle's."""
    theta_under: float
    theta_over: float
    tau_under: float
    tau_over: float
    operations: float
    """Changes of the number of replicas a day."""
    flips: float
    """Reversals within ten minutes a day."""
    peak: int
    starts: int
    replica_hours: float
    """Paid for in the whole story, those that boot or wait on standby included."""


def measure(world: World, best: Sequence[int], bill: float, since: int = 0) -> Measures:
    """Read a world that was lived through to its end, from second ``since`` on.

    ``bill`` is what the oracle pays in that time, in replica seconds.
    """
    total = sum(world.load.arrivals[since:]) or 1
    length = len(best) - since
    lack = surplus = 0.0
    short = over = 0
    for have, need in zip(world.serving[since:], best[since:], strict=True):
        if have < need:
            lack += (need - have) / need
            short += 1
        elif have > need:
            surplus += (have - need) / max(need, 1)
            over += 1
    days = length / _DAY
    billed, moves = world.billed[since:], [move for move in world.moves if move[0] >= since]
    return Measures(
        violations=100 * sum(world.violations[since:]) / total,
        shed=100 * sum(world.refused[since:]) / total,
        cost=sum(billed) / (bill or 1),
        theta_under=100 * lack / length,
        theta_over=100 * surplus / length,
        tau_under=100 * short / length,
        tau_over=100 * over / length,
        operations=len(moves) / days,
        flips=flips(moves) / days,
        peak=int(max(billed)),
        starts=world.starts,
        replica_hours=sum(billed) / 3600,
    )


def flips(moves: Sequence[tuple[int, int]]) -> int:
    """Changes whose direction differs from that of the change before, less than ten minutes ago."""
    return sum(
        1
        for (before, one), (after, other) in pairwise(moves)
        if (one > 0) != (other > 0) and after - before < FLIP_WITHIN
    )

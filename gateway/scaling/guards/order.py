"""The guards in their fixed order; each one sees what those before it left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.scaling.guards.bounds import budget, dependency, machine, min_max, starts, steps
from gateway.scaling.guards.calm import calm
from gateway.scaling.guards.orders import freeze, owner, pause
from gateway.scaling.guards.plan import Mark, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.scaling.guards.plan import Change, Facts

    Guard = Callable[[Plan, Facts], Change]

GUARDS: Final[tuple[tuple[str, Guard], ...]] = (
    ("min_max", min_max),
    ("steps", steps),
    ("starts", starts),
    ("machine", machine),
    ("budget", budget),
    ("dependency", dependency),
    ("calm", calm),
    ("pause", pause),
    ("freeze", freeze),
    ("owner", owner),
)


def guarded(plan: Plan, facts: Facts) -> tuple[int, tuple[Mark, ...]]:
    """The target that all guards leave, and what each one changed."""
    marks: list[Mark] = []
    for name, guard in GUARDS:
        change = guard(plan, facts)
        if change.target != plan.target:
            marks.append(Mark(name, plan.target, change.target, change.reason))
            plan = Plan(plan.current, change.target)
    return plan.target, tuple(marks)

"""Guards that cut a plan to size: min and max, steps, starts, the machine's room, the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.scaling.guards.plan import Change

if TYPE_CHECKING:
    from gateway.scaling.guards.plan import Facts, Plan

_LEAST_STEP: Final = 4


def min_max(plan: Plan, facts: Facts) -> Change:
    """Between min and max."""
    if plan.target < facts.settings.min:
        return Change(facts.settings.min, "below_min")
    if plan.target > facts.settings.max:
        return Change(max(facts.settings.max, facts.settings.min), "above_max")
    return Change(plan.target, "")


def steps(plan: Plan, facts: Facts) -> Change:
    """One scale-out multiplies by at most ``max_step`` or adds four, whichever is more."""
    most = max(plan.current + _LEAST_STEP, int(plan.current * facts.settings.max_step))
    return Change(most, "step") if plan.target > most else Change(plan.target, "")


def starts(plan: Plan, facts: Facts) -> Change:
    """No more replicas starting at once than there are start tokens: boots take CPU from those that serve."""
    free = max(facts.settings.max_starts - facts.signals.replicas.warming, 0)
    standby = facts.signals.replicas.standby
    most = plan.current + free + standby
    return Change(most, "starts") if plan.target > most else Change(plan.target, "")


def machine(plan: Plan, facts: Facts) -> Change:
    """No more than memory and CPU allow, and never fewer than there are: that would be a scale-in."""
    most = None if facts.room is None else max(facts.room, plan.current)
    return Change(most, "no_room") if most is not None and plan.target > most else Change(plan.target, "")


def budget(plan: Plan, facts: Facts) -> Change:
    """No scale-out beyond what an hour's budget pays for, except up to min."""
    return _under("cost", plan, facts)


def dependency(plan: Plan, facts: Facts) -> Change:
    """No scale-out that cannot help, except up to min."""
    for analyzer in ("dependency", "gateway"):
        change = _under(analyzer, plan, facts)
        if change.target != plan.target:
            return change
    return Change(plan.target, "")


def _under(analyzer: str, plan: Plan, facts: Facts) -> Change:
    for vote in facts.ceilings:
        if vote.analyzer == analyzer:
            most = max(vote.replicas, min(plan.current, plan.target), facts.settings.min)
            if plan.target > most:
                return Change(most, vote.reason)
    return Change(plan.target, "")

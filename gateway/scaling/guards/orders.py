"""Guards that put another's word above ours: a pause, a freeze, a pin, another owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.scaling.guards.plan import Change

if TYPE_CHECKING:
    from gateway.scaling.guards.plan import Facts, Plan


def pause(plan: Plan, facts: Facts) -> Change:
    """None by hand is a pause, as an HPA has it, where ``min`` is more: until there is one, or an order or a pin."""
    return Change(plan.current, "paused") if facts.is_paused else Change(plan.target, "")


def freeze(plan: Plan, facts: Facts) -> Change:
    """A pin says where to be; a frozen target stays where it is.

    A freeze must not starve anybody: it lets a scale-in that did harm be undone, and it lets a target grow that burns
    or whose load has grown since.
    """
    if facts.pin is not None:
        return Change(facts.pin, "pinned") if facts.pin != plan.target else Change(plan.target, "")
    may_grow = facts.is_restoring or facts.is_starving
    if facts.is_frozen and plan.target != plan.current and not (plan.target > plan.current and may_grow):
        return Change(plan.current, "frozen")
    return Change(plan.target, "")


def owner(plan: Plan, facts: Facts) -> Change:
    """Where an autoscaler of somebody else acts on the same target, we only publish."""
    if facts.owner is not None and plan.target != plan.current:
        return Change(plan.current, f"owned_by_{facts.owner}")
    return Change(plan.target, "")

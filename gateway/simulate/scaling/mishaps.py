"""What goes wrong around a scaler: an outage behind it, a dead source of metrics, decisions that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.simulate.scaling.ours import Ours
from gateway.simulate.scaling.policies import settings_for
from gateway.simulate.scaling.profiles import PROFILES, steps, surge
from gateway.simulate.scaling.story import Story
from gateway.simulate.scaling.traces import Trace
from gateway.simulate.scaling.world import Site

if TYPE_CHECKING:
    from gateway.simulate.scaling.world import World

_SITE: Final = Site(most=60)
_PEAK: Final = 16.0
_DAMAGE: Final = ("slots_overestimated", "scale_out_not_needed", "scale_in_too_deep")


class Outage(NamedTuple):
    """A dependency that is down for five minutes while the load climbs."""

    vetoed_after: float
    """Seconds from the opening of the breaker to the first step that says so; inf when none does."""
    wasted: int
    """Starts while the breaker was open."""
    starts_before: int
    refused: int
    """Steps in which a scale-out was wanted and not allowed."""


def outage(seed: int, begin: int = 1170, length: int = 300) -> Outage:
    """The surge is on its way up when what all replicas lean on fails."""
    world, ours = _begin(surge(seed), _SITE, seed)
    begin += seed % 5
    world.live(ours, begin)
    before, world.is_down = world.starts, True
    vetoed, refused = float("inf"), 0
    for second in range(begin, begin + length):
        world.live(ours, second + 1)
        if vetoed == float("inf") and any(vote.reason == "breaker_open" for vote in ours.scaler.ceilings):
            vetoed = float(world.now - 1 - begin)
        refused += ours.scaler.reason == "breaker_open"
    wasted = world.starts - before
    world.is_down = False
    world.live(ours)
    return Outage(vetoed, wasted, before, refused)


def darkness(seed: int, begin: int = 3600, length: int = 600) -> int:
    """How many times was scaled in while the source of metrics was dead for ten minutes, the load falling away."""
    rates = [1.0 if minute < begin / 60 else 0.1 for minute in range(120)]
    world, ours = _begin(Trace("falling", 60.0, rates), _SITE, seed)
    world.live(ours, begin)
    world.is_dark = True
    before = len(world.moves)
    world.live(ours, begin + length)
    dark = [move for move in world.moves[before:] if move[1] < 0]
    world.is_dark = False
    world.live(ours)
    return len(dark)


def bad_decision(seed: int) -> tuple[str, bool]:
    """Make a wrong decision of one of three kinds in a steady hour: its kind, and whether it was undone.

    One that the votes correct by themselves must be corrected within 90 s.
    """
    kind = _DAMAGE[seed % len(_DAMAGE)]
    level = 0.35 + 0.05 * (seed % 7)
    world, ours = _begin(Trace(kind, 60.0, [level, *[level] * 88, 1.0]), _SITE, seed)
    world.live(ours, 1801)
    before = world.asked
    if kind == "slots_overestimated":
        world.claimed_slots = 2 * _SITE.slots
    elif kind == "scale_out_not_needed":
        ours.scaler.order(before + 5)
    else:
        ours.scaler.order(before // 2)
        world.live(ours, 1801 + 90)
        return kind, any(move[1] < 0 for move in world.moves) and world.asked >= before
    world.live(ours, 5340)
    return kind, any(decision.undoes for decision in ours.decisions)


def clean_run(seed: int) -> int:
    """How many decisions were undone in two hours in which nothing was wrong; should be none."""
    if seed % 4:
        trace = steps(seed)
    else:
        name = ("match_day", "flash_crowd", "noisy_diurnal")[seed // 4 % 3]
        begin = 3600.0 * (seed % 20)
        trace = PROFILES[name](seed).cut(begin, begin + 7200)
    world, ours = _begin(trace, _SITE, seed)
    world.live(ours)
    return sum(1 for decision in ours.decisions if decision.undoes)


def _begin(trace: Trace, site: Site, seed: int) -> tuple[World, Ours]:
    story = Story(trace, site, seed, _PEAK)
    return story.world(), Ours(settings_for(site))

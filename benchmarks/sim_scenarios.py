"""What is told in virtual time, which spans of it are read, and what they must show.

The service has 8 workers of 20 ms (exponential) unless said otherwise, so it can do 400 a second.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.admission.classes import TrafficClass
from gateway.simulate.client import Patience
from gateway.simulate.crowd import Caller
from gateway.simulate.scenario import Scenario
from gateway.simulate.service import Mix, Sharing, Workers, bimodal, constant, exponential, lognormal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from gateway.simulate.clock import EventClock
    from gateway.simulate.service import Service, Work

MEAN: Final = 0.02
CAPACITY: Final = 400.0
TENANTS: Final = 1000
GREEDY: Final = "greedy"


class Target(NamedTuple):
    """What ours must reach in one span: goodput as a share of the best, p99 in seconds, shed as a share."""

    goodput: float | None = None
    p99: float | None = None
    shed: float | None = None


class Story(NamedTuple):
    """A scenario, its targets by span, where its best fixed limit is sought, and whether peers live through it."""

    scenario: Scenario
    targets: dict[str, Target]
    limits: tuple[int, int] = (1, 40)
    has_peers: bool = True


class GroupTarget(NamedTuple):
    """What a group of callers must get: its loss at most, and its part of what is fair at least."""

    lost: float | None = None
    fair: float | None = None


class GroupStory(NamedTuple):
    """A scenario in which it matters who asks: the groups by name, and their targets."""

    scenario: Scenario
    groups: Mapping[str, Callable[[Caller], bool]]
    targets: dict[str, GroupTarget]


_STEADY: Final = {"": (5.0, 25.0)}
_WHOLE: Final = Target(goodput=0.98, p99=0.15)


def _work(draw: Callable[[Random, float], Work] = exponential, mean: float = MEAN) -> Callable[[Random], Work]:
    return lambda rng: draw(rng, mean)


def _workers(count: int = 8) -> Callable[[EventClock, Work], Service]:
    return lambda clock, work: Workers(clock, work, count)


def _sharing(cores: int, knee: int | None = None) -> Callable[[EventClock, Work], Service]:
    return lambda clock, work: Sharing(clock, work, cores, knee=knee)


def _constant(rng: Random) -> Work:
    del rng
    return constant(MEAN)


def _mix(rng: Random) -> Work:
    return Mix(rng, {"fast": (0.9, exponential(rng, 0.005)), "slow": (0.1, exponential(rng, 0.5))})


def _steady(
    rate: float,
    service: Callable[[EventClock, Work], Service] | None = None,
    *,
    work: Callable[[Random], Work] | None = None,
    spans: dict[str, tuple[float, float]] | None = None,
) -> Scenario:
    return Scenario(work or _work(), service or _workers(), ((0.0, rate),), spans or _STEADY)


def _changing(change: str, *values: float) -> Story:
    def to(value: float, service: Service) -> None:
        getattr(service, change)(value)

    spans = {
        "at 400": (5.0, 15.0),
        "to 150, 0–5 s": (15.0, 20.0),
        "to 150, 5–15 s": (20.0, 30.0),
        "to 600, 0–10 s": (30.0, 40.0),
        "to 600, 10–20 s": (40.0, 50.0),
    }
    changes = (15.0, partial(to, values[0])), (30.0, partial(to, values[1]))
    scenario = Scenario(_work(), _workers(), ((0.0, 3 * CAPACITY),), spans, changes=changes)
    after = Target(goodput=0.97)
    return Story(scenario, {"at 400": _WHOLE, "to 150, 5–15 s": after, "to 600, 10–20 s": after})


def _retry_storm() -> Story:
    scenario = Scenario(
        _work(),
        _workers(),
        ((0.0, CAPACITY / 2), (5.0, 3 * CAPACITY), (20.0, CAPACITY / 2)),
        {"storm": (5.0, 20.0), "its end, 0–5 s": (20.0, 25.0), "5–10 s after it": (25.0, 30.0)},
        patience=Patience(give_up=1.0, retries=3),
    )
    return Story(
        scenario,
        {"storm": Target(goodput=0.9), "5–10 s after it": Target(goodput=0.98, shed=0.0)},
        has_peers=False,
    )


STORIES: Final[dict[str, Story]] = {
    **{
        f"{times:g}x": Story(
            _steady(times * CAPACITY, spans={"first 5 s": (0.0, 5.0), "": (5.0, 25.0 if times < 10 else 20.0)}),
            {"": _WHOLE},
        )
        for times in (1.5, 2, 5, 10)
    },
    "half load": Story(
        _steady(CAPACITY / 2, spans={"first second": (0.0, 1.0), "": (1.0, 15.0)}),
        {"first second": Target(shed=0.0), "": Target(shed=0.0)},
        has_peers=False,
    ),
    "workers change": _changing("resize", 3, 12),
    "speed changes": _changing("hurry", 0.375, 1.5),
    "constant": Story(_steady(3 * CAPACITY, work=_constant), {"": _WHOLE}),
    "lognormal": Story(_steady(3 * CAPACITY, work=_work(lognormal)), {"": _WHOLE}),
    # of the long ones alone, one in five takes longer than the p99 of the others
    "bimodal": Story(_steady(3 * CAPACITY, work=_work(bimodal)), {"": Target(goodput=0.98)}),
    "mix": Story(
        Scenario(
            _mix,
            _workers(),
            ((0.0, 3 * 8 / 0.0545),),
            {"": (10.0, 90.0)},
            patience=Patience(give_up=4.0),
            useful=2.0,
        ),
        {"": Target(goodput=0.95)},
    ),
    "knee": Story(
        _steady(3 * 800.0, _sharing(16, knee=16), spans={"first 5 s": (0.0, 5.0), "": (5.0, 25.0)}),
        {"": Target(goodput=0.95)},
    ),
    "1 worker": Story(
        _steady(5 * 10.0, _workers(1), work=_work(mean=0.1), spans={"": (10.0, 110.0)}),
        {"": Target(goodput=0.95)},
        limits=(1, 12),
        has_peers=False,
    ),
    "2 workers": Story(_steady(3 * 100.0, _workers(2)), {}, limits=(1, 20), has_peers=False),
    "64 workers": Story(
        _steady(2 * 3200.0, _workers(64), spans={"first 3 s": (0.0, 3.0), "": (3.0, 9.0)}),
        {"": _WHOLE},
        limits=(60, 110),
        has_peers=False,
    ),
    "sharing": Story(_steady(3 * CAPACITY, _sharing(8)), {"": Target(goodput=0.98)}, has_peers=False),
    "retry storm": _retry_storm(),
}


def _classes() -> GroupStory:
    classes = {
        "critical": (TrafficClass("critical", band=0), 0.1),
        "default": (TrafficClass("default", band=1), 0.6),
        "batch": (TrafficClass("batch", band=2), 0.3),
    }
    scenario = _steady(5 * CAPACITY)
    callers = {Caller(traffic_class): share for traffic_class, share in classes.values()}
    groups = {name: partial(_is_of, name) for name in classes}
    targets = {"critical": GroupTarget(lost=0.001, fair=0.99), "default": GroupTarget(fair=0.95)}
    return GroupStory(_asked_by(scenario, callers), groups, targets)


def _is_of(name: str, caller: Caller) -> bool:
    return caller.traffic_class.name == name


def _tenants(others: float, greedy: float, lost: float | None) -> GroupStory:
    """``others`` is what each of the 999 asks for and ``greedy`` what one does, in fair shares."""
    usual = TrafficClass("default")
    callers = {Caller(usual, f"tenant {number}"): others for number in range(TENANTS - 1)}
    callers[Caller(usual, GREEDY)] = greedy
    scenario = _steady(CAPACITY * sum(callers.values()) / TENANTS, spans={"": (5.0, 35.0)})
    groups = {"the others": lambda caller: caller.key != GREEDY, GREEDY: lambda caller: caller.key == GREEDY}
    return GroupStory(_asked_by(scenario, callers), groups, {"the others": GroupTarget(lost=lost, fair=0.95)})


def _asked_by(scenario: Scenario, callers: dict[Caller, float]) -> Scenario:
    return Scenario(scenario.work, scenario.service, scenario.offered, scenario.spans, callers=callers)


GROUP_STORIES: Final[dict[str, GroupStory]] = {
    "classes at 5x": _classes(),
    "tenants, one at 20 shares, the others at 0.95": _tenants(0.95, 20, lost=0.01),
    "tenants, one at 2,000 shares, the others at 0.9": _tenants(0.9, 2000, lost=0.01),
    "tenants, one at 30 shares, the others at 1.5": _tenants(1.5, 30, lost=None),
}

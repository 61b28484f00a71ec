"""What is simulated for ``gateway simulate``: one upstream of a configuration as a site and a policy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import typer
from msgspec.structs import replace

from gateway.admission.queue import INTERVAL
from gateway.control.scaling.inforce import in_force
from gateway.core.units import Seconds
from gateway.simulate.scaling.work import HEAVY_TAIL, Work
from gateway.simulate.scaling.world import Site

if TYPE_CHECKING:
    from gateway.config.settings import Settings, Upstream
    from gateway.scaling.settings import ScalingSettings

Distribution = Literal["lognormal", "constant", "heavy_tail"]

_SQUARES: Final = {"lognormal": 1.0, "constant": 0.0, "heavy_tail": 1.0}


class Service(NamedTuple):
    """What the operator says of the service itself; None = what the configuration says."""

    time: float
    distribution: Distribution
    slots: int | None
    cold_start: Seconds | None


class Case(NamedTuple):
    """One upstream, ready to be lived through; ``notes`` say what was assumed."""

    name: str
    upstream: Upstream
    settings: ScalingSettings
    site: Site
    notes: tuple[str, ...]


def make_case(settings: Settings, name: str | None, service: Service) -> Case:
    """The upstream of this name, or the only one that can be scaled; BadParameter when there is no such."""
    name = _chosen(settings, name)
    upstream = settings.upstreams[name]
    notes = []
    scaling = in_force(upstream)
    if upstream.scaling is None and upstream.pool is None:
        notes.append(f"upstreams.{name} says nothing of scaling: the defaults are simulated")
    elif scaling.mode != "live":
        notes.append(f'mode is "{scaling.mode}": what would be done in mode "live" is simulated')
    slots, why = _slots(upstream, scaling, service)
    mean = Seconds(service.time)
    notes.append(f"a request takes {mean} on average, {service.distribution} (--service-time, --distribution)")
    notes.append(f"a replica is taken to serve {slots} requests at once ({why})")
    cold_start = scaling.cold_start if service.cold_start is None else service.cold_start
    notes.append(f"a replica is ready {cold_start} after it is asked for (scaling.cold_start, or --cold-start)")
    notes.append(f"there are {scaling.min} to {scaling.max} replicas (scaling.min, scaling.max, or the pool's)")
    objective = f"{100 * scaling.slo.objective:g} %"
    notes.append(
        f"a wait of more than {scaling.slo.wait} is a violation; {objective} of requests are to have none (scaling.slo)"
    )
    scaling = replace(scaling, mode="live", pin=None, slots=slots, cold_start=cold_start)
    pool = upstream.pool
    site = Site(
        slots=slots,
        work=_work(service),
        cold_start=float(cold_start),
        least=scaling.min,
        most=scaling.max,
        standby=0 if pool is None else pool.standby,
        boots=0 if pool is None else pool.starts or max(1, (os.cpu_count() or 1) // 2),
        # a queue that stands sheds early, long before its longest wait
        max_wait=min(float(upstream.queue.max_wait), max(INTERVAL, service.time)),
        wait=float(scaling.slo.wait),
        risk=1 - scaling.slo.objective,
    )
    return Case(name, upstream, scaling, site, tuple(notes))


def same_service(case: Case, other: Case) -> Case:
    """The other case with the service and the objective of this one, so that only the policies differ."""
    site = replace(
        other.site,
        slots=case.site.slots,
        work=case.site.work,
        cold_start=case.site.cold_start,
        wait=case.site.wait,
        risk=case.site.risk,
    )
    return other._replace(site=site)


def _chosen(settings: Settings, name: str | None) -> str:
    names = sorted(settings.upstreams)
    if name is not None:
        if name not in names:
            message = f'there is no upstream "{name}"; there are {", ".join(names)}'
            raise typer.BadParameter(message, param_hint="--upstream")
        return name
    scaled = [each for each in names if _can_be_scaled(settings.upstreams[each])]
    choice = scaled or names
    if len(choice) > 1:
        message = f"there are several upstreams; one of {', '.join(choice)} is needed"
        raise typer.BadParameter(message, param_hint="--upstream")
    return choice[0]


def _can_be_scaled(upstream: Upstream) -> bool:
    return upstream.scaling is not None or (upstream.pool is not None and upstream.pool.most > upstream.pool.min)


def _slots(upstream: Upstream, scaling: ScalingSettings, service: Service) -> tuple[int, str]:
    if service.slots is not None:
        return service.slots, "--slots"
    if upstream.limit.kind == "fixed" and upstream.limit.per == "endpoint":
        return upstream.limit.initial, "the fixed limit of an endpoint; --slots says otherwise"
    return scaling.slots, "scaling.slots; --slots says otherwise"


def _work(service: Service) -> Work:
    mean = service.time
    if service.distribution == "heavy_tail":
        by = mean / HEAVY_TAIL.mean
        return Work(
            "heavy_tail",
            mean,
            HEAVY_TAIL.cv2,
            rare=HEAVY_TAIL.rare,
            rare_from=by * HEAVY_TAIL.rare_from,
            rare_to=by * HEAVY_TAIL.rare_to,
        )
    return Work(service.distribution, mean, _SQUARES[service.distribution])

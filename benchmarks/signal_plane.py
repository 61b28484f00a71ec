"""What signals and decisions cost a running gateway: ``python -m benchmarks.signal_plane [--targets N] [--workers N]``.

In the control process: one look at all targets (a second's signals), one tick (decisions on all of them), and the
slices that both are done in, with workers' snapshots that change each time, and with such that do not. In a worker: one
snapshot, which is taken four times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog
from msgspec.structs import replace

from gateway.actuators.publish import Publish
from gateway.config.settings import Route, Settings, Upstream
from gateway.control.scaling.admission import WorkersAdmission
from gateway.control.scaling.loop import AT_ONCE, Scaling
from gateway.core.clock import ManualClock, SystemClock
from gateway.proxy.plane import DataPlane
from gateway.scaling.settings import ScalingSettings
from gateway.telemetry.access import AccessLog
from gateway.telemetry.settings import Log
from gateway.telemetry.snapshot import EndpointSnapshot, GateSnapshot, LoadSnapshot, ResilienceSnapshot, Snapshot
from gateway.telemetry.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 300
_ASLEEP = 1800  # what happened before the first sleeper counts as one is a small part of it


def _settings(targets: int) -> Settings:
    upstream = Upstream(endpoints=("http://127.0.0.1:1",), scaling=ScalingSettings(mode="live"))
    names = [f"app-{number}" for number in range(targets)]
    routes = {
        name: Route(upstream=name, match=replace(Route(upstream=name).match, path=f"/{name}/*")) for name in names
    }
    return Settings(upstreams=dict.fromkeys(names, upstream), routes=routes)


def _snapshot(names: Sequence[str], at: float, second: int, rng: random.Random) -> Snapshot:
    loads = {
        name: LoadSnapshot(
            first_tries=50.0 * second + rng.random() * 5,
            dispatched=50.0 * second,
            good=49.9 * second,
            bad=0.1 * second,
            finished=50.0 * second,
            service_time=5.0 * second,
            service_squares=second,
            arrival_steps=100.0 * second,
            in_flight_time=5.0 * second,
            shed={"queue_full": second},
            delays=[50 * second] + [0] * 16,
        )
        for name in names
    }
    endpoints = {"": EndpointSnapshot(states={"closed": 1}), "a": EndpointSnapshot(states={"closed": 1}, in_rotation=1)}
    return Snapshot(
        at=at,
        loads=loads,
        gates={name: GateSnapshot(limit=20) for name in names},
        resilience={name: ResilienceSnapshot(endpoints=endpoints) for name in names},
    )


class Times(NamedTuple):
    """Seconds: of each look at all targets, of deciding on all of them, and of each slice without giving way."""

    looks: list[float]
    decisions: list[float]
    slices: list[float]


async def _control(targets: int, workers: int, *, is_idle: bool = False) -> Times:
    """What looks and decisions cost; ``is_idle``: nothing is asked of any target after the first second."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    clock, rng, totals = ManualClock(1000.0, 1.7e9), random.Random(1), Totals()
    settings = _settings(targets)
    scaling = Scaling(
        settings,
        totals,
        clock=clock,
        log=structlog.get_logger(),
        make_actuator=lambda _name, _settings: Publish(clock),
        admission=WorkersAdmission((), totals),
    )
    times = Times([], [], [])
    present = tuple(scaling.targets.values())
    for second in range(_ASLEEP if is_idle else _SECONDS):
        clock.advance(1.0)
        for worker in range(workers):
            counted = _snapshot(list(settings.upstreams), clock.now(), 1 if is_idle else second, rng)
            if is_idle:
                for load in counted.loads.values():
                    load.first_tries = 50.0
            totals.update(worker, counted)
        looked = decided = 0.0
        for begin in range(0, len(present), AT_ONCE):
            some = present[begin : begin + AT_ONCE]
            before = time.perf_counter()
            scaling.see(some, is_tick=False)
            seen = time.perf_counter()
            if second % 5 == 0:
                for target in some:
                    target.decide(clock.now())
            after = time.perf_counter()
            looked += seen - before
            decided += after - seen
            times.slices.append(after - before)
        times.looks.append(looked)
        if second % 5 == 0:
            times.decisions.append(decided)
        await asyncio.sleep(0)
    await scaling.stop()
    return times


async def _worker(targets: int) -> list[float]:
    """Seconds that each snapshot took."""
    clock = SystemClock()
    plane = DataPlane(
        _settings(targets),
        clock=clock,
        rng=random.Random(1),
        name="gateway-bench",
        access_log=AccessLog(Log(access="off"), clock),
        log=structlog.get_logger(),
    )
    await plane.start([])
    times = []
    for _ in range(100):
        before = time.perf_counter()
        plane.snapshot()
        times.append(time.perf_counter() - before)
    await plane.close()
    return times


def _print(what: str, times: Sequence[float]) -> None:
    settled = sorted(times[len(times) // 4 :])
    middle, late = statistics.median(settled), settled[int(0.95 * (len(settled) - 1))]
    print(f"{what:44s} {middle * 1000:6.2f} ms (p95 {late * 1000:.2f}, max {settled[-1] * 1000:.2f})")


def main() -> None:
    """Print the cost of a look, of a tick and of a snapshot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    for targets in (1, arguments.targets):
        times = asyncio.run(_control(targets, arguments.workers))
        _print(f"look, {targets} targets, {arguments.workers} workers", times.looks)
        _print(f"tick (to decide), {targets} targets", times.decisions)
        _print(f"a slice of {min(AT_ONCE, targets)}, look and tick", times.slices)
        idle = asyncio.run(_control(targets, arguments.workers, is_idle=True))
        _print(f"look, {targets} targets that sleep", idle.looks)
        _print(f"tick (to decide), {targets} targets that sleep", idle.decisions)
        _print(f"snapshot, {targets} upstreams", asyncio.run(_worker(targets)))


if __name__ == "__main__":
    main()

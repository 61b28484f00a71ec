"""Scaling decisions on real processes beside the same story simulated: python -m benchmarks.scaling_live [--quick].

A gateway with a pool of real processes (4 slots of 50 ms each, three seconds to boot) lives through a story of some
minutes, once with each policy, with the same arrivals. Foreign policies are the objects of the simulation; they read
the gateway's own counters and act through the same reconciler and actuator as our decisions do. A violation is what a
client sees: refused, failed, or answered later than 50 ms + 250 ms + 20 ms after it was due. Cost is the time of
processes that boot or serve, against the fewest that the arrivals of each ten seconds need.

The simulation gets the same arrivals second by second, the same settings, and the cold start and the service time that
the gateway measured. Time is
compressed, so the windows that are settings are short: our hold is 20 s, HPA's scale-down window 30 s. It takes about
fifteen minutes (``--quick``: four).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from array import array
from itertools import pairwise
from math import exp
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.overload_load import Clients, Phase, Seen, arrivals
from benchmarks.scaling_live_world import LiveWorld, OursWithTrials
from gateway.admission.queue import INTERVAL
from gateway.config.load import load
from gateway.control.scaling.inforce import in_force
from gateway.control.supervision import ControlProcess
from gateway.core.clock import SystemClock
from gateway.simulate.scaling.measures import measure
from gateway.simulate.scaling.oracle import needed
from gateway.simulate.scaling.policies import TARGET
from gateway.simulate.scaling.references import Hpa, Kpa, Static
from gateway.simulate.scaling.work import Work
from gateway.simulate.scaling.world import Load, Site, World
from gateway.telemetry.lines import Lines
from gateway.telemetry.logs import make_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.scaling.settings import ScalingSettings
    from gateway.simulate.scaling.world import Policy

POLICIES: Final = ("ours", "hpa", "kpa", "static-peak", "static-mean")
SLOTS: Final = 4
SERVICE: Final = 0.05
BOOT: Final = 3.0
PEAK: Final = 5.0
"""Replicas that the highest two seconds need."""
MOST: Final = 8
WAIT: Final = 0.25
_MARGIN: Final = 0.02
_PIECE: Final = 2.0
_TIE: Final = 0.5
"""Points of violations within which two policies are equal."""
_TIE_COST: Final = 0.03
_WITHIN: Final = 0.3

_CONFIG: Final = """
[gateway]
listen = ["127.0.0.1:0"]
state_dir = ""
[admin]
listen = "127.0.0.1:0"
[log]
access = "off"
[upstreams.app]
slow_start = "0s"
limit = {{ kind = "fixed", initial = {slots}, per = "endpoint" }}
queue = {{ max_wait = "1s" }}
[upstreams.app.pool]
command = {command}
min = 1
max = {most}
starts = {most}
drain_timeout = "3s"
ready = {{ path = "/healthz", timeout = "30s" }}
[upstreams.app.scaling]
mode = "{mode}"
min = 1
max = {most}
slots = {slots}
cold_start = "{cold:.0f}ms"
hold = "20s"
max_hold = "40s"
slo = {{ wait = "250ms", objective = 0.999 }}
[routes.all]
upstream = "app"
"""


class Measured(NamedTuple):
    """What the gateway found out about the service while a policy was tried, in seconds."""

    cold_starts: list[float]
    service_time: float


class Outcome(NamedTuple):
    """One policy in one of the two worlds."""

    violations: float
    shed: float
    cost: float
    peak: int
    moves: int


def story(seconds: float) -> tuple[Phase, ...]:
    """Low, a surge within a twelfth of the time, a plateau that sags, back, and a short second surge."""
    pieces = []
    for piece in range(int(seconds / _PIECE)):
        share = (piece + 0.5) * _PIECE / seconds
        level = 0.2 + 0.8 * _hill(share, 0.25, 0.55, 0.02) - 0.25 * _hill(share, 0.36, 0.5, 0.03)
        level += 0.45 * _hill(share, 0.75, 0.86, 0.015)
        pieces.append(Phase(_PIECE, level * PEAK * SLOTS / SERVICE * 0.9))
    return tuple(pieces)


def _hill(place: float, begin: float, end: float, width: float) -> float:
    return 1 / (1 + exp(-(place - begin) / width * 4)) - 1 / (1 + exp(-(place - end) / width * 4))


def site(cold: float, service: float = SERVICE) -> Site:
    """The same service and pool, for the simulation."""
    return Site(
        slots=SLOTS,
        work=Work("constant", service, 0.0),
        cold_start=cold,
        least=1,
        most=MOST,
        wait=WAIT,
        max_wait=max(INTERVAL, SERVICE),  # a queue that stands sheds early
    )


def make(name: str, best: Sequence[int], settings: ScalingSettings) -> Policy:
    """A policy with its one setting."""
    made: dict[str, Policy] = {
        "ours": OursWithTrials(settings),
        "hpa": Hpa(TARGET * SLOTS, down=30),
        "kpa": Kpa(TARGET * SLOTS),
        "static-peak": Static(max(best)),
        "static-mean": Static(round(sum(best) / len(best))),
    }
    return made[name]


def settings_of(mode: str, folder: Path, cold: float) -> Any:
    """The configuration of the gateway, loaded as any other."""
    service = Path(__file__).with_name("scaling_live_service.py")
    command = [sys.executable, "-I", "-S", str(service), "--fd={fd}", f"--boot={BOOT}"]
    command += [f"--slots={SLOTS}", f"--seconds={SERVICE}"]
    file = folder / "gateway.toml"
    file.write_text(_CONFIG.format(command=json.dumps(command), most=MOST, slots=SLOTS, mode=mode, cold=1000 * cold))
    return load(file).settings


async def live(name: str, clients: Clients, best: Sequence[int], cold: float) -> tuple[Outcome, Measured]:
    """One policy on real processes."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        settings = settings_of("live" if name == "ours" else "observe", folder, cold)
        clock = SystemClock()
        descriptor = os.open(folder / "gateway.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        lines = Lines(descriptor)
        log = make_log(settings.log, process="control", clock=clock, lines=lines)
        control = ControlProcess(settings, log=log, clock=clock, rng=random.Random(1))
        await control.start()
        try:
            if not await control.until_ready():
                raise SystemExit((folder / "gateway.log").read_text()[-2000:])
            pool = control._pools["app"]
            while not pool.endpoints:  # noqa: ASYNC110 - once, at the beginning
                await asyncio.sleep(0.05)
            pool.resize(best[0])
            while pool.replicas.ready < best[0]:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.05)
            seen, samples, moves = await _load(name, control, clients, best, settings, folder)
            told = Measured(list(pool.cold_starts), _service_time(control))
            return _outcome(seen, samples, best, moves), told
        finally:
            await control.stop()
            lines.close()  # it may still write, so its descriptor stays open


async def _load(  # noqa: PLR0917 - one run has many sides
    name: str, control: ControlProcess, clients: Clients, best: Sequence[int], settings: Any, folder: Path
) -> tuple[Seen, list[tuple[float, int]], int]:
    found = folder / "seen.json"
    loader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.overload_load", str(found)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert loader.stdin is not None
    assert loader.stdout is not None
    loader.stdin.write(msgspec.json.encode(clients) + b"\n")
    await loader.stdout.readline()
    port = control.addresses[0].rpartition(":")[2]
    loader.stdin.write(port.encode() + b"\n")
    await loader.stdout.readline()
    world = LiveWorld(control, site(BOOT))
    policy = None if name == "ours" else make(name, best, in_force(settings.upstreams["app"]))
    samples: list[tuple[float, int]] = []
    pool = control._pools["app"]
    begin, due, moves, before = time.monotonic(), 0.0, 0, pool.desired
    ended = asyncio.ensure_future(loader.stdout.readline())
    while not ended.done():
        elapsed = time.monotonic() - begin
        replicas = pool.replicas
        samples.append((elapsed, replicas.ready + replicas.warming + replicas.standby))
        if elapsed >= world.now:
            world.observe()
        if policy is not None and elapsed >= due:
            due += policy.period
            desired = policy.desired(world)  # type: ignore[arg-type] # it has what these policies read
            if desired is not None:
                world.resize(desired, elapsed)
        if pool.desired != before:
            moves, before = moves + 1, pool.desired
        await asyncio.wait({ended}, timeout=0.2)
    await loader.wait()
    return msgspec.json.decode(found.read_bytes(), type=Seen), samples, moves


def _service_time(control: ControlProcess) -> float:
    """From dispatch to the last byte, the mean of all requests."""
    totals = control._totals.sum().loads["app"]
    return totals.service_time / totals.finished


def _outcome(seen: Seen, samples: list[tuple[float, int]], best: Sequence[int], moves: int) -> Outcome:
    total = len(seen.due)
    late = SERVICE + WAIT + _MARGIN
    good = sum(
        status == 200 and end - due <= late for due, end, status in zip(seen.due, seen.end, seen.status, strict=True)
    )
    length = len(best)
    paid = 0.0
    for (instant, count), (after, _) in pairwise(samples):
        paid += count * max(min(after, length) - min(instant, length), 0.0)
    return Outcome(
        violations=100 * (total - good) / total,
        shed=100 * sum(status != 200 for status in seen.status) / total,
        cost=paid / sum(best),
        peak=max(count for _, count in samples),
        moves=moves,
    )


def counted(clients: Clients, seconds: int, service: float = SERVICE) -> Load:
    """The very arrivals of the live run, as the simulation takes them."""
    counts = array("l", bytes(8 * seconds))
    for due, _, _ in arrivals(clients):
        counts[min(int(due), seconds - 1)] += 1
    rates = [phase.rate for phase in clients.phases for _ in range(int(_PIECE))]
    return Load(counts, array("d", (count * service for count in counts)), rates)


def simulated(name: str, drawn: Load, best: Sequence[int], settings: ScalingSettings, where: Site) -> Outcome:
    """The same story in virtual time."""
    world = World(where, drawn, random.Random(1), start=best[0])
    world.live(make(name, best, settings))
    found = measure(world, best, float(sum(best)))
    return Outcome(found.violations, found.shed, found.cost, found.peak, len(world.moves))


def ranks(values: dict[str, float], tie: float) -> list[tuple[str, str]]:
    """Every pair (lesser, greater) that differs by more than a tie."""
    return [(one, other) for one in values for other in values if values[other] - values[one] > tie]


def judge(lived: dict[str, Outcome], told: dict[str, Outcome]) -> list[tuple[str, str, str]]:
    """What was wanted of the simulation: (what, what was found, met?)."""
    found = []
    for name, tie in (("violations", _TIE), ("cost", _TIE_COST)):
        real = ranks({policy: getattr(each, name) for policy, each in lived.items()}, tie)
        virtual = ranks({policy: getattr(each, name) for policy, each in told.items()}, tie)
        wrong = [(one, other) for one, other in virtual if (other, one) in real]
        text = "the same" if not wrong else "; ".join(f"{one} before {other}" for one, other in wrong)
        found.append((f"order by {name}", text, "yes" if not wrong else "NO"))
    for policy, each in lived.items():
        there = told[policy].violations
        is_near = abs(each.violations - there) <= max(_WITHIN * max(each.violations, there), _TIE)
        text = f"{each.violations:.2f} live, {there:.2f} simulated"
        found.append((f"{policy}: violations within 30 % or half a point", text, "yes" if is_near else "NO"))
    return found


async def main() -> None:
    """Live through the story with each policy, simulate it, and print both."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling_live", description=summary, epilog=rest)
    parser.add_argument("--quick", action="store_true", help="a shorter story and three policies")
    parser.add_argument("--seconds", type=int, default=0, help="how long the story is; 240, quick 90")
    parser.add_argument("--only", nargs="+", choices=POLICIES, metavar="POLICY")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    seconds = options.seconds or (90 if options.quick else 240)
    policies = options.only or (("ours", "hpa", "static-mean") if options.quick else POLICIES)
    clients = Clients(phases=story(seconds), patience=5.0, seed=options.seed)
    best = [min(max(each, 1), MOST) for each in needed(counted(clients, seconds).rates, site(BOOT))]
    lived: dict[str, Outcome] = {}
    cold: list[float] = []
    services: list[float] = []
    console = Console(width=120)
    for name in policies:
        lived[name], found = await live(name, clients, best, median(cold) if cold else BOOT)
        cold += found.cold_starts
        services.append(found.service_time)
        console.print(f"{name}: {lived[name]}", highlight=False)
    measured, service = median(cold), median(services)
    drawn, where = counted(clients, seconds, service), site(measured, service)
    with tempfile.TemporaryDirectory() as text:
        settings = in_force(settings_of("live", Path(text), measured).upstreams["app"])
    told = {name: simulated(name, drawn, best, settings, where) for name in policies}
    title = f"{len(arrivals(clients))} requests in {seconds} s; measured: cold start {measured:.1f} s, "
    _print(console, lived, told, f"{title}service time {1000 * service:.1f} ms; live / simulated")
    verdicts = judge(lived, told)
    table = Table("what", "found", "met?")
    for row in verdicts:
        table.add_row(*row)
    console.print(table)
    if options.json:
        data = {
            "seconds": seconds,
            "seed": options.seed,
            "cold_start": measured,
            "service_time": service,
            "live": {name: each._asdict() for name, each in lived.items()},
            "simulated": {name: each._asdict() for name, each in told.items()},
            "verdicts": verdicts,
        }
        options.json.write_text(json.dumps(data, indent=1))


def _print(console: Console, lived: dict[str, Outcome], told: dict[str, Outcome], title: str) -> None:
    table = Table(title=title)
    for name in ("policy", "violations, %", "shed, %", "cost ÷ oracle", "peak", "changes"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for policy, each in lived.items():
        there = told[policy]
        table.add_row(
            policy,
            f"{each.violations:.2f} / {there.violations:.2f}",
            f"{each.shed:.2f} / {there.shed:.2f}",
            f"{each.cost:.2f} / {there.cost:.2f}",
            f"{each.peak} / {there.peak}",
            f"{each.moves} / {there.moves}",
        )
    console.print(table)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asyncio.run(main())

"""The scale benchmark: what grows with endpoints, upstreams and workers, as figures of processor time.

    python -m benchmarks.scale [--endpoints 10,100,1000] [--upstreams 10,100,1000] [--workers 16]

Everything runs in this process, on objects that are put together as in the gateway, and opens nothing but idle
sockets. Each figure is the least of several runs, because a neighbour can only add; of a loop's steps the longest is
reported.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from msgspec import msgpack

from benchmarks.processes import processor_time, tree
from gateway.config.settings import Settings
from gateway.control.endpoints import EndpointTable
from gateway.control.gathering import gather
from gateway.core.clock import SystemClock
from gateway.core.outcome import Outcome
from gateway.proxy.plane import TICK, DataPlane
from gateway.telemetry.access import AccessLog
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.snapshot import Snapshot
from gateway.telemetry.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.group import UpstreamGroup

_RUNS = 5
_PICKS = 2000
_KEYS = [f"key-{number}" for number in range(_PICKS)]
_BALANCES = ("p2c", "least_in_flight", "round_robin", "ring_hash")
_REPORTS_PER_SECOND = 4
_SETTLED = 22.0
_WATCHED = 20.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("benchmarks.scale", description=__doc__.partition("\n")[0])
    for name, usual in (("endpoints", "10,100,1000"), ("upstreams", "10,100,1000")):
        parser.add_argument(f"--{name}", default=usual, type=lambda text: [int(each) for each in text.split(",")])
    parser.add_argument("--workers", default=16, type=int)
    asked = parser.parse_args()
    gc.disable()  # a collection is no step of ours, and would hit one at random
    asyncio.run(_measure(asked))


async def _measure(asked: argparse.Namespace) -> None:
    print("one upstream with many endpoints: a choice, µs")
    print(f"{'endpoints':>10}", *(f"{balance:>16}" for balance in _BALANCES), f"{'retry':>8}{'one open':>10}")
    for count in asked.endpoints:
        await _picks(count)
    print(f"\none upstream with many endpoints: steps, ms (control: {asked.workers} workers)")
    print(f"{'endpoints':>10}{'tick':>8}{'report':>8}{'look':>8}{'adding up':>11}{'scrape':>8}{'again':>8}")
    for count in asked.endpoints:
        await _steps(_settings(1, count), count, asked.workers)
    print(f"\nmany upstreams with one endpoint, all active: longest steps, ms (control: {asked.workers} workers)")
    print(f"{'upstreams':>10}{'tick':>8}{'report':>8}{'look':>8}{'adding up':>11}{'scrape':>8}{'again':>8}")
    for count in asked.upstreams:
        await _steps(_settings(count, 1), count, asked.workers)
    print(f"\nmany upstreams, all idle: percent of a core (control: {asked.workers} workers)")
    print(f"{'upstreams':>10}{'one worker':>12}{'control':>10}")
    for count in asked.upstreams:
        await _idle(count, asked.workers)
    print(f"\na running gateway with two workers that nobody asks, percent of a core over {_WATCHED:.0f} s")
    print(f"{'upstreams':>10}{'workers':>10}{'control':>10}{'all':>8}")
    for count in dict.fromkeys((1, *asked.upstreams)):
        _running(_as_toml(count))


def _settings(upstreams: int, endpoints: int, **options: Any) -> Settings:
    def url(upstream: int, endpoint: int) -> str:
        number = upstream * endpoints + endpoint
        return f"http://10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:80"

    data = {
        "upstreams": {
            f"u{one}": {"endpoints": [url(one, each) for each in range(endpoints)], **options}
            for one in range(upstreams)
        },
        "routes": {f"r{one}": {"upstream": f"u{one}", "match": {"path": f"/p{one}/*"}} for one in range(upstreams)},
        "log": {"access": "off"},
    }
    return msgspec.convert(data, Settings, dec_hook=lambda kind, text: kind.parse(text))


async def _plane(settings: Settings) -> DataPlane:
    clock = SystemClock()
    plane = DataPlane(
        settings,
        clock=clock,
        rng=random.Random(1),
        name="gateway",
        access_log=AccessLog(settings.log, clock),
        log=structlog.get_logger(),
    )
    await plane.start([])
    if plane._ticker is not None:
        plane._ticker.cancel()
    return plane


async def _picks(count: int) -> None:
    found = []
    retry = one_open = 0.0
    for balance in _BALANCES:
        options = {"balance": balance, **({"hash_key": "header:x"} if balance == "ring_hash" else {})}
        plane = await _plane(_settings(1, count, **options))
        group = plane._groups["u0"]
        _pick(group)
        found.append(_least(partial(_pick, group)) / _PICKS)
        if balance == "p2c":
            retry = _least(partial(_pick, group, (group.endpoints[0],))) / _PICKS
            group.endpoints[0].breaker.force_open("benchmark", "", 0.0)
            one_open = _least(partial(_pick, group)) / _PICKS
        await plane.close()
    print(
        f"{count:>10}",
        *(f"{seconds * 1e6:>16.2f}" for seconds in found),
        f"{retry * 1e6:>8.2f}{one_open * 1e6:>10.2f}",
    )


def _pick(group: UpstreamGroup, tried: tuple[Endpoint, ...] = ()) -> None:
    for key in _KEYS:
        if group.is_calm or group.can_pass(0.0):
            group.pick(tried, key, 0.0)


async def _steps(settings: Settings, count: int, workers: int) -> None:
    plane = await _plane(settings)
    now = plane.clock.now()
    for name, group in plane._groups.items():
        plane.wake(name)
        for one in group.endpoints:
            for _ in range(30):
                one.standing.note(Outcome.SUCCESS, 0.01 + 0.005 * plane._rng.random(), now, 0.02)
    for route in settings.routes:
        for method in ("GET", "POST"):
            plane.counters.route(route).count(method, 200, 0.01)
    tick = 0.0
    for _ in range(60):
        tick = max(tick, _timed(lambda: _turn(plane)))
        await asyncio.sleep(TICK)
    report = 0.0
    plane.note_changes()
    totals = Totals()
    while plane.has_changes:
        report = max(report, _timed(lambda: msgpack.encode(plane.changes())))
    whole = msgpack.encode(plane.snapshot())
    table = EndpointTable(settings, rng=plane._rng, log=structlog.get_logger(), send=lambda _: None)
    for worker in range(workers):
        totals.update(worker, msgpack.decode(whole, type=Snapshot))
    table.look(totals.living)
    plane.note_changes()
    changed = plane.changes()
    totals.take_news()
    totals.update(0, msgpack.decode(msgpack.encode(changed), type=Snapshot))
    look = _timed(lambda: table.look(totals.living, totals.take_news()))
    adding = max(_each(totals.settle()), default=0.0)
    exposition = Exposition(lambda: gather(settings, totals.sum(), [], {}, None), totals.settle)
    scrape = max(_each(exposition.scrape("").steps()))
    again = max(_each(exposition.scrape("").steps()))
    await plane.close()
    print(
        f"{count:>10}"
        + "".join(
            f"{1000 * one:>{width}.1f}"
            for one, width in zip((tick, report, look, adding, scrape, again), (8, 8, 8, 11, 8, 8), strict=True)
        )
    )


async def _idle(count: int, workers: int) -> None:
    settings = _settings(count, 1)
    plane = await _plane(settings)
    while plane.has_changes:
        plane.changes()
    totals = Totals()
    table = EndpointTable(settings, rng=plane._rng, log=structlog.get_logger(), send=lambda _: None)
    whole = msgpack.encode(plane.snapshot())
    for worker in range(workers):
        totals.update(worker, msgpack.decode(whole, type=Snapshot))
    table.look(totals.living, totals.take_news())

    def second() -> None:
        for _ in range(round(1 / TICK)):
            _turn(plane)

    tick = _least(second)

    def report() -> bytes:
        plane.note_changes()
        return msgpack.encode(plane.changes())

    reports = _least(report) * _REPORTS_PER_SECOND
    said = report()

    def hear() -> None:
        for worker in range(workers):
            totals.update(worker, msgpack.decode(said, type=Snapshot))
            table.look(totals.living, totals.take_news())

    heard = _least(hear) * _REPORTS_PER_SECOND
    await plane.close()
    print(f"{count:>10}{100 * (tick + reports):>12.2f}{100 * heard:>10.2f}")


def _as_toml(upstreams: int) -> str:
    lines = ['gateway = {listen = ["127.0.0.1:0"], workers = 2}', 'admin = {listen = "127.0.0.1:0"}', "[upstreams]"]
    lines += [f'u{one} = {{endpoints = ["http://10.0.{one >> 8}.{one & 255}:80"]}}' for one in range(upstreams)]
    lines += [
        "[routes]",
        *(f'r{one} = {{upstream = "u{one}", match = {{path = "/p{one}/*"}}}}' for one in range(upstreams)),
    ]
    return "\n".join(lines)


def _running(config: str) -> None:
    """What the processes of a gateway use when all that is said at the start has been said."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "gateway.toml"
        file.write_text(config)
        gateway = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(_SETTLED)
            workers = [pid for pid in tree(gateway.pid) if pid != gateway.pid]
            before = processor_time(gateway.pid), sum(map(processor_time, workers))
            time.sleep(_WATCHED)
            every = 100 * (processor_time(gateway.pid) - before[0]) / _WATCHED
            of_workers = 100 * (sum(map(processor_time, workers)) - before[1]) / _WATCHED
        finally:
            gateway.terminate()
            gateway.wait()
    print(f"{config.count('endpoints'):>10}{of_workers:>10.2f}{every - of_workers:>10.2f}{every:>8.2f}")


def _turn(plane: DataPlane) -> None:
    plane._tick()
    if plane._ticker is not None:
        plane._ticker.cancel()


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _least(work: Callable[[], object]) -> float:
    return min(_timed(work) for _ in range(_RUNS))


def _each(steps: Iterator[None]) -> Iterator[float]:
    """How long each step took."""
    while True:
        began = time.process_time()
        try:
            next(steps)
        except StopIteration:
            return
        yield time.process_time() - began


if __name__ == "__main__":
    main()

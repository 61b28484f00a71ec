"""The proxy benchmark: this gateway beside its peers, in one run.

    python -m benchmarks.proxy [--quick] [--only requests,latency,…] [--peers nginx,envoy,…] [--json FILE]

Every proxy runs on one core, load and origin on another. Each round measures every proxy once, in turn,
so that a noisy neighbour hurts all of them alike; the median of the rounds is reported.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import idle, latency, workers
from benchmarks.load import press, write_upload
from benchmarks.origin import BODIES, start_origin, start_sink
from benchmarks.peers import OURS, PEERS
from benchmarks.processes import CORES, StartError, processor_time
from benchmarks.rounds import Words, chosen, installed, keep, options, say, scratch
from benchmarks.table import Row, Target, print_rows, to_data

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from benchmarks.processes import Running

# the origin without any proxy: what load and origin can do at most, sharing their core
DIRECT = "direct"
MEASURES = ("requests", "latency", "download", "upload", "idle", "workers")
_MEGA = 1_000_000
_MILLI = 1000


class Plan(NamedTuple):
    """How long and how often."""

    rounds: int
    seconds: int
    connections: int
    scratch: Path


def main() -> None:
    """Measure what was asked for, print the table, write the JSON."""
    arguments = _arguments()
    wanted = chosen(arguments.only, MEASURES)
    proxies = installed(chosen(arguments.peers, tuple(PEERS)), PEERS.__getitem__)
    if len(CORES) < 2:
        say("ONE CORE ONLY: proxy, load and origin fight for it; the ratios mean little")
    # Bodies come from memory: a disk would be the slowest proxy of all.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with scratch("bench-", memory) as directory:
        plan = Plan(
            rounds=2 if arguments.quick else arguments.rounds,
            seconds=1 if arguments.quick else 3,
            connections=1000 if arguments.quick else 10_000,
            scratch=directory,
        )
        rows, proxies = _measure(plan, wanted, proxies)
    print_rows(rows, [*proxies, DIRECT])
    keep(arguments.json, plan.rounds, {"seconds": plan.seconds, "rows": to_data(rows)})


def _arguments() -> argparse.Namespace:
    words = Words(
        quick="two short rounds and 1,000 idle connections",
        only=f"some of {','.join(MEASURES)}, or how they begin",
        peers=tuple(PEERS),
        file="write every round to this file",
    )
    return options("benchmarks.proxy", __doc__, words, rounds=5).parse_args()


def _measure(plan: Plan, wanted: tuple[str, ...], proxies: list[str]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    with ExitStack() as stack:
        origin = stack.enter_context(start_origin(plan.scratch))
        if {"requests", "latency", "download"} & set(wanted):
            with ExitStack() as inner:
                group = _start_all(inner, plan, proxies, origin.port)
                proxies = list(group)
                if "requests" in wanted:
                    rows.extend(_requests(plan, {**group, DIRECT: origin}))
                if "latency" in wanted:
                    rows.extend(_latency(plan, group, origin))
                if "download" in wanted:
                    rows.extend(_download(plan, {**group, DIRECT: origin}))
        if "upload" in wanted:
            with ExitStack() as inner:
                sink = inner.enter_context(start_sink(plan.scratch))
                group = _start_all(inner, plan, proxies, sink.port)
                rows.extend(_upload(plan, {**group, DIRECT: sink}))
        if "idle" in wanted:
            rows.append(_idle(plan, proxies, origin.port))
        if "workers" in wanted and OURS in proxies:
            try:
                rows.append(_workers(plan, origin))
            except StartError as error:  # the rows before it are worth keeping
                say(f"TWO WORKERS ARE LEFT OUT: {error}")
    return rows, proxies


def _start_all(stack: ExitStack, plan: Plan, names: list[str], origin: int) -> dict[str, Running]:
    group = {}
    for name in names:
        try:
            group[name] = stack.enter_context(PEERS[name].start(plan.scratch, origin))
        except StartError as error:
            say(f"{name.upper()} IS LEFT OUT: {error}")
    return group


def _rounds(plan: Plan, group: dict[str, Running], what: str) -> Iterator[tuple[str, Running]]:
    for number in range(plan.rounds):
        say(f"{what}: round {number + 1} of {plan.rounds}")
        # Every other round goes backwards, so that nobody always follows the same neighbour.
        names = list(group) if number % 2 == 0 else list(reversed(group))
        for name in names:
            yield name, group[name]


def _requests(plan: Plan, group: dict[str, Running]) -> list[Row]:
    targets = (Target("aiohttp", 4), Target("envoy", 1.2), Target("nginx", 0.45))
    rate = Row("requests/s, 33 B, 64 connections", {name: [] for name in group}, targets)
    # What a proxy's core would do if the other one never held it up.
    cost = Row("requests per processor second of the proxy", {name: [] for name in group})
    for proxy in group.values():  # warm: pools filled, code compiled
        press(proxy.port, "/small", connections=64, seconds=1)
    for name, proxy in _rounds(plan, group, "requests"):
        used = processor_time(proxy.pid)
        load = press(proxy.port, "/small", connections=64, seconds=plan.seconds)
        used = processor_time(proxy.pid) - used
        _complain(name, load.failures)
        rate.figures[name].append(load.requests_per_second)
        cost.figures[name].append(load.requests_per_second * plan.seconds / used)
    return [rate, cost]


def _latency(plan: Plan, group: dict[str, Running], origin: Running) -> list[Row]:
    middle = Row("added p50 at 1,000/s, ms", {n: [] for n in group}, (Target("nginx", 1.5, is_ceiling=True),), 3)
    tail = Row("added p99 at 1,000/s, ms", {n: [] for n in group}, (Target("nginx", 2, is_ceiling=True),), 3)
    direct = latency.Latency(0, 0, 0)
    for index, (name, proxy) in enumerate(_rounds(plan, group, "latency")):
        if index % len(group) == 0:
            direct = latency.measure(origin.port, "/small", seconds=plan.seconds)
        found = latency.measure(proxy.port, "/small", seconds=plan.seconds)
        _complain(name, found.lost)
        middle.figures[name].append((found.p50 - direct.p50) * _MILLI)
        tail.figures[name].append((found.p99 - direct.p99) * _MILLI)
    return [middle, tail]


def _download(plan: Plan, group: dict[str, Running]) -> list[Row]:
    rows = []
    for body, label in (("64k", "64 KiB"), ("10m", "10 MiB")):
        row = Row(f"MB/s download, {label}, 8 connections", {n: [] for n in group}, (Target("nginx", 0.6),))
        for name, proxy in _rounds(plan, group, f"download {label}"):
            load = press(proxy.port, f"/{body}", connections=8, seconds=plan.seconds)
            _complain(name, load.failures)
            row.figures[name].append(load.bytes_per_second / _MEGA)
        rows.append(row)
    return rows


def _upload(plan: Plan, group: dict[str, Running]) -> list[Row]:
    rows = []
    for body, label in (("64k", "64 KiB"), ("10m", "10 MiB")):
        size = BODIES[body]
        script = write_upload(plan.scratch, size)
        row = Row(f"MB/s upload, {label}, 8 connections", {n: [] for n in group}, (Target("nginx", 0.6),))
        for name, proxy in _rounds(plan, group, f"upload {label}"):
            load = press(proxy.port, "/upload", connections=8, seconds=plan.seconds, script=script)
            _complain(name, load.failures)
            row.figures[name].append(load.requests_per_second * size / _MEGA)
        rows.append(row)
    return rows


def _idle(plan: Plan, names: list[str], origin: int) -> Row:
    row = Row("KiB per idle connection", {}, (Target(None, 12, is_ceiling=True),), 1)
    held_by = []
    for name in names:
        peer = PEERS[name]
        wanted = idle.most_connections(min(plan.connections, peer.max_connections))
        # A fresh process for each: memory once grown is seldom given back, so it can only be measured once.
        try:
            with peer.start(plan.scratch, origin) as proxy:
                press(proxy.port, "/small", connections=64, seconds=1)
                grown, held = idle.bytes_per_connection(proxy, wanted)
        except StartError as error:
            say(f"{name.upper()} IS LEFT OUT: {error}")
            continue
        say(f"idle: {name} held {held:,} connections")
        held_by.append(f"{name} {held:,}")
        row.figures[name] = [grown / 1024]
    return row._replace(note=f"connections held: {', '.join(held_by)}")


def _workers(plan: Plan, origin: Running) -> Row:
    say("workers: one against two")
    found = workers.measure(PEERS[OURS], origin, plan.scratch, rounds=plan.rounds, seconds=plan.seconds)
    note = (
        f"this machine with {len(CORES)} cores allows {found.allowed:.2f}; by processor time a second worker on a free "
        f"core brings {found.unhindered:.2f}"
    )
    return Row("requests/s of two workers ÷ one", {OURS: [found.measured]}, (Target(None, 1.6),), 2, note)


def _complain(name: str, failures: int) -> None:
    if failures:
        say(f"{name}: {failures} requests FAILED")


if __name__ == "__main__":
    main()

"""The gateway's data plane on the test's own loop, and the proof that it leaves nothing behind.

Import costs nothing until a gateway is started, so that tests of the support itself run without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import tempfile
import tomllib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from gateway.config.settings import Settings
from gateway.core.clock import SystemClock
from tests.support.wire import our_sockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, MutableMapping

    from gateway.core.clock import Clock
    from gateway.proxy.plane import DataPlane
    from gateway.telemetry.snapshot import Snapshot

NAME = "gateway-test"
# Small enough that a test of a limit is quick, large enough that an innocent request never meets one; of its timeouts
# not even on a machine that is busy with other things.
SMALL: dict[str, Any] = {
    "gateway": {
        "limits": {"connections": 200, "head": "16KiB", "headers": 50, "target": "4KiB", "body": "1MiB"},
        "timeouts": {"head": "20s", "body_idle": "20s", "keepalive": "20s"},
        "drain_timeout": "1s",
    },
    "upstreams": {
        "origin": {
            "timeouts": {"connect": "20s", "head": "20s", "idle": "20s"},
            # who is let in, and what is tried again, is not what most tests are about; those that are set their own
            "limit": {"kind": "fixed", "initial": 400},
            "breaker": {"mode": "off"},
            "retry": {"attempts": 1},
        }
    },
    "routes": {"all": {"upstream": "origin"}},
    "log": {"access": "all"},
}
# For tests in which somebody takes too long: laid over SMALL.
HASTY: dict[str, Any] = {
    "gateway": {"timeouts": {"head": "300ms", "body_idle": "300ms", "keepalive": "600ms"}},
    "upstreams": {"origin": {"timeouts": {"connect": "300ms", "head": "400ms", "idle": "300ms"}}},
}
_SETTLE = 10.0


@dataclass
class RunningGateway:
    """A started data plane; ``events`` are the log's structured events, ``lines`` reads the access log."""

    plane: DataPlane
    port: int
    settings: Settings
    log_path: str
    events: list[Mapping[str, Any]] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        """What the plane counted so far."""
        return self.plane.snapshot()

    @property
    def in_flight(self) -> int:
        """Requests in flight over all upstreams."""
        return sum(self.snapshot().in_flight.values())

    def errors(self) -> dict[str, int]:
        """Errors by reason word over all routes."""
        found: dict[str, int] = {}
        for _, reason, count in self.snapshot().errors:
            found[reason] = found.get(reason, 0) + count
        return found

    async def lines(self) -> list[str]:
        """The access log so far, once it has been written out."""
        await asyncio.sleep(0.05)
        with open(self.log_path, encoding="utf-8") as file:  # noqa: ASYNC230, PTH123 - a small file in memory
            return file.read().splitlines()

    async def settle(self, within: float = _SETTLE) -> None:
        """Wait until nothing is in flight; AssertionError when something stays."""
        try:
            async with asyncio.timeout(within):
                while self.in_flight:
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"still in flight: {self.snapshot().in_flight}") from None


def make_settings(origin_port: int, config: str | Mapping[str, Any] | None = None) -> Settings:
    """Settings from TOML text or a mapping, laid over :data:`SMALL`; the upstream ``origin`` is the test's."""
    over = tomllib.loads(config) if isinstance(config, str) else (config or {})
    data = _merge(SMALL, over)
    data["upstreams"]["origin"].setdefault("endpoints", [f"http://127.0.0.1:{origin_port}"])
    return msgspec.convert(data, Settings, dec_hook=lambda kind, text: kind.parse(text))


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return {key: _merge(value, {}) if isinstance(value, dict) else value for key, value in merged.items()}


@asynccontextmanager
async def running_gateway(
    origin_port: int, config: str | Mapping[str, Any] | None = None, *, seed: int = 1, clock: Clock | None = None
) -> AsyncIterator[RunningGateway]:
    """A gateway in front of the origin; afterwards nothing may be in flight, pending or open.

    With a ``clock`` of the test's own it measures what the test says, whatever the machine's pace.

    It also fails the test when the gateway logged an error of its own.
    """
    from gateway.proxy.plane import DataPlane
    from gateway.telemetry.access import AccessLog
    from gateway.telemetry.lines import Lines

    settings = make_settings(origin_port, config)
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    listener = _listen()
    events: list[Mapping[str, Any]] = []
    clock = clock or SystemClock()
    with tempfile.NamedTemporaryFile(prefix="access-") as log_file:
        access_log = AccessLog(settings.log, clock, lines=Lines(log_file.fileno()), process=NAME)
        plane = DataPlane(
            settings, clock=clock, rng=random.Random(seed), name=NAME, access_log=access_log, log=_collect(events)
        )
        gateway = RunningGateway(plane, listener.getsockname()[1], settings, log_file.name, events)
        await plane.start([listener])
        try:
            yield gateway
        finally:
            try:
                await gateway.settle()
                await plane.drain(1.0, quiet=0.0)
            finally:
                await plane.close()
                access_log.close()
                listener.close()
    await _assert_nothing_left(tasks, sockets)
    mishaps = [event for event in events if event.get("log_level") in {"error", "critical", "exception"}]
    assert not mishaps, f"the gateway logged {mishaps}"
    assert "internal_error" not in gateway.errors()


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def _collect(events: list[Mapping[str, Any]]) -> Any:
    def keep(_logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        events.append({**fields, "log_level": method})
        raise structlog.DropEvent

    return structlog.wrap_logger(structlog.PrintLogger(), processors=[structlog.processors.format_exc_info, keep])


def open_sockets() -> set[str]:
    """The internet sockets that this process has open, by inode; a loop's own socket pairs do not count."""
    found = set()
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - entries vanish while one looks
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/self/fd/{entry}")  # noqa: PTH115
            if link.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(entry))) as copy:
                    if copy.family in {socket.AF_INET, socket.AF_INET6}:
                        found.add(link)
    return found


async def _assert_nothing_left(tasks: set[asyncio.Task[Any]], sockets: set[str]) -> None:
    # Connections close in the turn of the loop after the one that asked for it.
    for _ in range(20):
        pending = {task for task in asyncio.all_tasks() - tasks if not _is_of_tests(task)}
        is_open = open_sockets() - sockets - our_sockets()
        if not (pending or is_open):
            return
        await asyncio.sleep(0.01)
    assert not pending, f"tasks left behind: {pending}"
    assert not is_open, f"sockets left open: {is_open}"


def _is_of_tests(task: asyncio.Task[Any]) -> bool:
    """Whether this task is the test itself, or plays an origin or a client; those end after the gateway."""
    code = getattr(task.get_coro(), "cr_code", None)
    return task is asyncio.current_task() or "/tests/" in getattr(code, "co_filename", "")

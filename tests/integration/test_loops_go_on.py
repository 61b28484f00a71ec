"""Loops of the control process and of workers outlive an exception."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from gateway.checks.settings import Health
from gateway.control.health import Checks
from gateway.core.clock import SystemClock
from gateway.telemetry.guard import Guard

if TYPE_CHECKING:
    from gateway.checks.question import Finding
    from tests.support.origin import Exchange, Origin


class _Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, event: str, **fields: object) -> None:
        self.lines.append(f"{event} {fields['callback']}")


async def test_a_check_goes_on_after_an_accident(origin: Origin) -> None:
    """The listener of a verdict raises once: the log says so, and the endpoint is checked again."""
    log = _Log()
    heard: list[bool] = []

    def report(_url: str, is_up: bool, _found: Finding) -> None:  # noqa: FBT001 - as it is called
        heard.append(is_up)
        if len(heard) == 1:
            raise ValueError("an accident")

    guard = Guard(log, SystemClock())
    url = f"http://127.0.0.1:{origin.port}"
    checks = Checks(
        Health(path="/healthz", interval=0.01, fast_interval=0.01, rise=1, fall=1),  # type: ignore[arg-type]
        rng=random.Random(1),
        clock=SystemClock(),
        guard=guard,
        report=report,
    )

    async def down(exchange: Exchange) -> None:
        await exchange.answer(status=b"503 No")

    origin.on("/healthz", down)
    checks.set_endpoints([url])
    async with asyncio.timeout(10):
        while not heard:
            await asyncio.sleep(0.005)
        seen = len(origin.requests)
        while len(origin.requests) < seen + 3:
            await asyncio.sleep(0.005)
    await checks.stop()
    assert log.lines == [f"callback failed check {url}"]

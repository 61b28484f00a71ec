"""Under its own strain the gateway does less, in grades, and recovers."""

from __future__ import annotations

import asyncio
import resource
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tests.support.client import connected
from tests.support.gate import GET, Hold, limited
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Origin


async def test_few_descriptors_left(origin: Origin) -> None:
    """With descriptors running out idle connections close, nobody is kept alive, and afterwards all is as before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running_gateway(origin.port) as gateway, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(gateway.port)) for _ in range(30)]
        for client in clients[:5]:
            await client.send(GET)
            assert (await client.answer()).value("Connection") is None
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (32 + 33, hard))
            async with asyncio.timeout(5):
                while gateway.plane.protection.in_force.keeps_alive:
                    await asyncio.sleep(0.02)
            for client in clients:
                assert await client.ending() in {"eof", "reset"}
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        async with asyncio.timeout(5):
            while gateway.plane.protection.in_force.grade:
                await asyncio.sleep(0.02)
        async with connected(gateway.port) as client:
            for _ in range(2):
                await client.send(GET)
                assert (await client.answer()).value("Connection") is None


async def test_a_late_loop_lets_only_the_first_band_wait(origin: Origin) -> None:
    """While the event loop is late, ordinary requests are admitted at once or refused with their own word."""
    hold = Hold(origin)
    async with running_gateway(origin.port, limited(1)) as gateway, connected(gateway.port) as first:
        await first.send(GET)
        while not hold.held:
            await asyncio.sleep(0.01)
        for _ in range(40):
            gateway.plane.protection.note_lag(0.5)
            await asyncio.sleep(0.05)
            if gateway.plane.protection.in_force.grade:
                break
        async with connected(gateway.port) as second:
            await second.send(GET)
            answer = await second.answer()
            assert (answer.status, answer.json["reason"]) == (503, "self_protection")
        hold.release()
        assert (await first.answer()).status == 200
        async with asyncio.timeout(10):
            while gateway.plane.protection.in_force.grade:
                await asyncio.sleep(0.02)

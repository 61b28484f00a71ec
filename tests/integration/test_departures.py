"""A client that leaves is noticed although nobody reads from it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.running import until

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin


async def test_leaving_in_the_middle_of_an_upload_that_nobody_takes(origin: Origin) -> None:
    """Behind megabytes of unread body the FIN is seen all the same, and the upstream is let go."""
    gone = asyncio.Event()

    async def never_read(_exchange: Exchange) -> None:
        await gone.wait()

    origin.on("/case", never_read)
    config = {
        "gateway": {"timeouts": {"body_idle": "30s"}, "limits": {"body": "64MiB"}},
        "upstreams": {"origin": {"timeouts": {"idle": "30s", "head": "30s"}}},
    }
    async with running_gateway(origin.port, config) as gateway:
        async with connected(gateway.port) as client:
            head = b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n"
            await client.send(head)
            door, sent = gateway.plane.door, len(head)
            while not len(door.departures):  # no more than is taken, or the FIN would wait at the client
                await client.send(bytes(65536))
                sent += 65536
                while door.counts.client_in < sent and not len(door.departures):
                    await asyncio.sleep(0.001)
        await until(lambda: not gateway.in_flight)
        assert gateway.errors() == {"client_gone": 1}
        assert len(gateway.plane.door.departures) == 0
        gone.set()

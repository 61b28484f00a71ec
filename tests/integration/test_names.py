"""Endpoints by name: several addresses, changes, and a resolver that fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.names import name_server
from tests.support.running import HEAD, running, until
from tests.support.upstreams import origins

if TYPE_CHECKING:
    from tests.support.running import RunningGateway

CONFIG = """
[upstreams.app]
endpoints = ["http://shop.example.com:{port}"]
dns = {{ servers = ["127.0.0.1:{dns}"], min_ttl = "100ms", max_ttl = "200ms" }}
[routes.web]
upstream = "app"
"""


async def _endpoints(gateway: RunningGateway) -> list[str]:
    found: list[str] = (await gateway.status())["upstreams"]["app"]["endpoints"]
    return found


async def test_a_name_is_followed() -> None:
    """Its addresses are the endpoints, also when they change; the Host of the client goes on as it came."""
    async with origins(1) as (origin,), name_server() as server:
        server.records["shop.example.com"] = ["127.0.0.1"]
        config = HEAD.format(workers=1, drain="2s") + CONFIG.format(port=origin.port, dns=server.port)
        async with running(config) as gateway:
            one = f"http://127.0.0.1:{origin.port}"
            two = f"http://127.0.0.2:{origin.port}"

            async def is_served_by(*wanted: str) -> bool:
                return sorted(await _endpoints(gateway)) == sorted(wanted)

            await until(lambda: is_served_by(one))
            assert (await gateway.get())[0] == 200
            server.records["shop.example.com"] = ["127.0.0.1", "127.0.0.2", "::1"]
            await until(lambda: is_served_by(one, two))
            assert (await gateway.get())[0] == 200

            asked = server.asked
            server.is_deaf = True
            await until(lambda: server.asked > asked + 2)
            assert await is_served_by(one, two)
            assert (await gateway.get())[0] == 200

            await until(lambda: gateway.events("name not resolved"))
            server.records["shop.example.com"] = []
            server.is_deaf = False
            asked = server.asked
            await until(lambda: server.asked > asked)
            await asyncio.sleep(0.5)  # some lookups later, which find nothing
            assert await is_served_by(one, two), "an empty answer is no reason to have no endpoint"
            assert len(gateway.events("name not resolved")) == 1, "said once until it is found again"

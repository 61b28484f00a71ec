"""Endpoints by name: several addresses, changes, and a resolver that fails."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.names import name_server
from tests.support.running import HEAD, running, until
from tests.support.upstreams import origins

if TYPE_CHECKING:
    from tests.support.names import NameServer
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


def _toml(server: NameServer, port: int, more: str = "") -> str:
    config = CONFIG.format(port=port, dns=server.port)
    return HEAD.format(workers=1, drain="2s") + config + more


async def test_the_records_own_time_is_bounded() -> None:
    """An address whose record is good for ten minutes is looked up again after max_ttl; the moved container is found."""
    async with origins(1) as (origin,), name_server() as server:
        server.ttl = 600
        server.records["shop.example.com"] = ["127.0.0.9"]
        async with running(_toml(server, origin.port)) as gateway:
            await until(lambda: _is_served_by(gateway, f"http://127.0.0.9:{origin.port}"))
            server.records["shop.example.com"] = ["127.0.0.1"]
            await until(lambda: _is_served_by(gateway, f"http://127.0.0.1:{origin.port}"))
            wanted = [[f"http://127.0.0.9:{origin.port}"], [f"http://127.0.0.1:{origin.port}"]]
            await until(lambda: [change["came"] for change in gateway.events("endpoints changed")] == wanted)
            assert (await gateway.get())[0] == 200


async def test_that_there_is_no_address_is_not_believed_for_long_either() -> None:
    """A name that did not exist, for ten minutes by its zone's word, is found as soon as it does."""
    async with origins(1) as (origin,), name_server() as server:
        server.ttl = 600
        async with running(_toml(server, origin.port)) as gateway:
            missing = (await until(lambda: gateway.events("name not resolved")))[0]
            assert (missing["name"], missing["error"]) == ("shop.example.com", "Domain name not found")
            assert "not resolved: shop.example.com" in (await gateway.ask("/readyz"))[1]
            server.records["shop.example.com"] = ["127.0.0.1"]
            await until(lambda: _is_served_by(gateway, f"http://127.0.0.1:{origin.port}"))
            await until(lambda: gateway.events("name resolved again"))
            assert "not resolved" not in (await gateway.ask("/readyz"))[1]
            assert (await gateway.get())[0] == 200


async def _is_served_by(gateway: RunningGateway, *wanted: str) -> bool:
    return sorted(await _endpoints(gateway)) == sorted(wanted)


@pytest.mark.parametrize(
    ("records", "listens"),
    [
        (["::1"], "::1"),
        (["127.0.0.1", "::1"], "::1"),
        (["127.0.0.1", "::1"], "127.0.0.1"),
        (["127.0.0.1", "2001:db8::1"], "127.0.0.1"),  # a family without a route
    ],
)
async def test_the_family_is_taken_that_answers(records: list[str], listens: str) -> None:
    """IPv6 alone, and of both the one on which the service listens."""
    async with await asyncio.start_server(_say_ok, listens, 0) as service, name_server() as server:
        port = service.sockets[0].getsockname()[1]
        server.records["shop.example.com"] = records
        async with running(_toml(server, port)) as gateway:
            wanted = f"http://[{listens}]:{port}" if ":" in listens else f"http://{listens}:{port}"
            await until(lambda: _is_served_by(gateway, wanted))
            await until(lambda: _is_ok(gateway))


async def _say_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def _is_ok(gateway: RunningGateway) -> bool:
    return (await gateway.get())[0] == 200


async def test_a_service_that_moves_to_the_other_family_is_found() -> None:
    """What listened on 127.0.0.1 listens on ::1 now; its name has had both addresses all the time."""
    async with name_server() as server:
        server.records["shop.example.com"] = ["127.0.0.1", "::1"]
        service = await asyncio.start_server(_say_ok, "127.0.0.1", 0)
        port = service.sockets[0].getsockname()[1]
        async with running(_toml(server, port)) as gateway:
            await until(lambda: _is_served_by(gateway, f"http://127.0.0.1:{port}"))
            service.close()
            service = await asyncio.start_server(_say_ok, "::1", port)
            await until(lambda: _is_served_by(gateway, f"http://[::1]:{port}"))
            service.close()


async def test_a_server_that_is_deaf_to_one_family_hides_nothing_of_the_other() -> None:
    """Some middle boxes never answer for AAAA; the addresses of IPv4 count all the same."""
    async with origins(1) as (origin,), name_server() as server:
        server.records["shop.example.com"] = ["127.0.0.1"]
        server.deaf_to = {6}
        async with running(_toml(server, origin.port)) as gateway:
            await until(lambda: _is_served_by(gateway, f"http://127.0.0.1:{origin.port}"))
            assert not gateway.events("name not resolved")


@pytest.mark.parametrize("listens", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("name", ["localhost", "app.localhost"])
async def test_localhost_is_both_families(listens: str, name: str) -> None:
    """Whatever the system's files say of it, the service is found on the family on which it listens."""
    async with await asyncio.start_server(_say_ok, listens, 0) as service:
        port = service.sockets[0].getsockname()[1]
        config = f'[upstreams.app]\nendpoints = ["http://{name}:{port}"]\n[upstreams.app.health]\n'
        config += '[routes.web]\nupstream = "app"\n'
        async with running(HEAD.format(workers=1, drain="2s") + config) as gateway:
            assert [(await gateway.get())[0] for _ in range(3)] == [200] * 3
            await until(lambda: _is_up(gateway, f"http://{name}:{port}"))


async def _is_up(gateway: RunningGateway, url: str) -> bool:
    return (await gateway.metrics()).get(f'gateway_endpoint_up{{endpoint="{url}",upstream="app"}}') == 1.0

"""Active checks, made once by the control process, and orders by hand, as an operator meets them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

from tests.support.origin import Exchange, echo
from tests.support.running import HEAD, running, until
from tests.support.upstreams import origins, refuse_by_status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Origin
    from tests.support.running import RunningGateway

CHECKED = """
[upstreams.app]
endpoints = [{endpoints}]
health = {{ path = "/healthz", interval = "200ms", fast_interval = "100ms", timeout = "300ms", rise = 2, fall = 2 }}
{more}
[routes.web]
upstream = "app"
"""


def _toml(some: list[Origin], *, more: str = "", workers: int = 1, admin: str = "") -> str:
    endpoints = ", ".join(f'"http://127.0.0.1:{one.port}"' for one in some)
    head = HEAD.format(workers=workers, drain="2s") + admin
    return head + CHECKED.format(endpoints=endpoints, more=more)


async def _up(gateway: RunningGateway, origin: Origin) -> bool:
    _, text = await gateway.ask("/metrics")
    name = f'gateway_endpoint_up{{endpoint="http://127.0.0.1:{origin.port}",upstream="app"}}'
    return f"{name} 1.0" in text


async def _until_up(gateway: RunningGateway, origin: Origin, *, is_up: bool) -> None:
    async def look() -> bool:
        return await _up(gateway, origin) is is_up

    await until(look)


async def test_an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes() -> None:
    """All workers hear of it; its checks are made once, not once a worker."""
    async with origins(2) as some, running(_toml(some, workers=2)) as gateway:
        await _until_up(gateway, some[0], is_up=True)
        some[0].on("/healthz", refuse_by_status)
        await _until_up(gateway, some[0], is_up=False)
        seen = len(some[0].asked("/work"))
        answers = Counter([(await gateway.get("/work"))[0] for _ in range(40)])
        assert answers == {200: 40}
        assert len(some[0].asked("/work")) == seen
        some[0].on("/healthz", echo)
        await _until_up(gateway, some[0], is_up=True)
        async with asyncio.timeout(10):
            while len(some[0].asked("/work")) == seen:
                await gateway.get("/work")


async def test_a_check_that_drips_does_not_pass() -> None:
    """The whole answer counts, not its first byte."""

    async def drip(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            await exchange.wire.send(b"x")
            await asyncio.sleep(0.05)

    async with origins(2) as some, running(_toml(some)) as gateway:
        some[1].on("/healthz", drip)
        await _until_up(gateway, some[1], is_up=False)
        assert await _up(gateway, some[0])


async def test_when_all_checks_fail_everybody_is_asked() -> None:
    """Panic: a broken check must not take a working service down."""
    async with origins(2) as some, running(_toml(some)) as gateway:
        for one in some:
            one.on("/healthz", refuse_by_status)
        async with asyncio.timeout(10):
            while 'gateway_panic{upstream="app"} 1.0' not in (await gateway.ask("/metrics"))[1]:
                await asyncio.sleep(0.05)
        assert Counter([(await gateway.get("/work"))[0] for _ in range(20)]) == {200: 20}


async def test_a_check_that_passes_opens_the_way_at_once() -> None:
    """The endpoint is tried again when its check passes, long before its open time is over."""
    more = 'breaker = { min_calls = 5, open_for = "60s", max_open_for = "60s", probes = 1, successes = 1 }'
    async with origins(1) as some, running(_toml(some, more=more)) as gateway:
        some[0].on("/work", refuse_by_status)
        some[0].on("/healthz", refuse_by_status)
        async with asyncio.timeout(10):
            while (await gateway.get("/work"))[0] != 503:
                pass
        some[0].on("/work", echo)
        some[0].on("/healthz", echo)
        async with asyncio.timeout(10):
            while (await gateway.get("/work"))[0] != 200:
                await asyncio.sleep(0.05)
        step = '{from="open",reason="check_passed",route="web",to="half_open",upstream="app"}'

        async def stepped() -> bool:
            return step in (await gateway.ask("/metrics"))[1]

        await until(stepped)


async def test_an_order_by_hand(tmp_path: Path) -> None:
    """POST /v1/breakers with the token forces a breaker open in every worker; without it nothing happens."""
    token = tmp_path / "token"
    token.write_text("s3cret")
    admin = f'token_file = "{token}"\n'
    async with origins(1) as some, running(_toml(some, workers=2, admin=admin)) as gateway:
        order = {"upstream": "app", "action": "force_open", "actor": "ada", "reason": "maintenance"}
        address = gateway.admin + "/v1/breakers"
        async with gateway.session.post(address, json=order) as refused:
            assert refused.status == 401
            assert "s3cret" not in await refused.text()
        assert (await gateway.get())[0] == 200
        headers = {"Authorization": "Bearer s3cret"}
        async with gateway.session.post(address, json=order, headers=headers) as accepted:
            assert accepted.status == 202
        async with asyncio.timeout(10):
            while {status for status, _ in [await gateway.get() for _ in range(8)]} != {503}:
                await asyncio.sleep(0.05)
        code, text = await gateway.get()
        assert (code, json.loads(text)["reason"]) == (503, "breaker_open")

        async def shown() -> bool:
            breakers = json.loads((await gateway.ask("/v1/breakers"))[1])["breakers"]
            found = [one for one in breakers if one["states"] == {"forced_open": 2} and one["endpoint"] == ""]
            return bool(found) and (found[0]["last"]["actor"], found[0]["last"]["note"]) == ("ada", "maintenance")

        await until(shown)
        assert gateway.events("breaker set by hand")[0]["actor"] == "ada"
        os.kill(await gateway.worker_pid(0), signal.SIGKILL)
        await until(lambda: len(gateway.events("worker ready")) == 3)
        await until(shown)
        assert {status for status, _ in [await gateway.get() for _ in range(8)]} == {503}, "a new worker knows it too"
        async with gateway.session.post(address, json=order | {"action": "reset"}, headers=headers) as accepted:
            assert accepted.status == 202
        async with asyncio.timeout(10):
            while (await gateway.get())[0] != 200:
                await asyncio.sleep(0.05)

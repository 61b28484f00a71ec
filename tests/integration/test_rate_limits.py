"""Quotas in the path: 429 with everything a client needs to behave, and nothing charged for what we shed."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import Client, connected
from tests.support.gate import Hold
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin


def _get(path: str = "/case", fields: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()


def _config(*limits: dict[str, Any], **route: Any) -> dict[str, Any]:
    return {"routes": {"all": {"upstream": "origin", "rate_limits": list(limits), **route}}}


async def test_a_quota_that_is_used_up_is_said(origin: Origin) -> None:
    """The first requests pass and hear what is left; the next gets 429 with its rule, its numbers and when to come back."""
    config = _config({"name": "per-key", "key": "header:x-api-key", "rate": "1/h", "burst": 2})
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        for left in (1, 0):
            await client.send(_get(fields="X-Api-Key: one\r\n"))
            answer = await client.answer()
            assert answer.status == 200
            assert (answer.value("RateLimit") or "").startswith(f'"per-key";r={left}')
            assert (answer.value("RateLimit-Policy") or "").startswith('"per-key";q=2')
        await client.send(_get(fields="X-Api-Key: one\r\n"))
        answer = await client.answer()
        told = answer.json
        assert (answer.status, told["reason"], told["rule"]) == (429, "rate_limited", "routes.all.rate_limits.per-key")
        assert told["allowed"] == 2
        assert int(answer.value("Retry-After") or 0) > 3000
        assert (answer.value("RateLimit") or "").startswith('"per-key";r=0')
        await client.send(_get(fields="X-Api-Key: two\r\n"))
        assert (await client.answer()).status == 200
        assert gateway.snapshot().rate_limited == [("all", "per-key", "enforce", 1)]
        assert [decision.reason for decision in gateway.plane.take_decisions()] == ["rate_limited"]
    assert len(origin.requests) == 3


async def test_a_refusal_says_its_numbers_in_full(origin: Origin) -> None:
    """Large numbers are whole ones that differ, and what is left is counted in requests of this route."""
    config = _config({"name": "big", "key": "route", "rate": "2000000/d", "burst": 2_000_000, "cost": 1_000_000})
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        for left in (1, 0):
            await client.send(_get())
            assert (await client.answer()).value("RateLimit") == f'"big";r={left};t={43200}'
        await client.send(_get())
        answer = await client.answer()
    assert answer.value("RateLimit-Policy") == '"big";q=2;w=86400'
    assert (answer.value("RateLimit") or "").startswith('"big";r=0;t=43')
    found, allowed = answer.json["detail"].removesuffix(" may be").split(" requests at once with this one; at most ")
    assert float(found) > float(allowed) == 2_000_000
    assert "e" not in found


async def test_several_quotas_are_charged_together_or_not_at_all(origin: Origin) -> None:
    """A request that the second rule refuses costs nothing at the first."""
    config = _config(
        {"name": "each", "key": "header:x-api-key", "rate": "1/h", "burst": 2},
        {"name": "all", "key": "route", "rate": "1/h", "burst": 1},
    )
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(_get(fields="X-Api-Key: one\r\n"))
        assert (await client.answer()).status == 200
        for _ in range(5):
            await client.send(_get(fields="X-Api-Key: one\r\n"))
            answer = await client.answer()
            assert (answer.status, answer.json["rule"]) == (429, "routes.all.rate_limits.all")
            assert '"each";r=1' in (answer.value("RateLimit") or "")
        assert gateway.snapshot().rate_limited == [("all", "each", "enforce", 0), ("all", "all", "enforce", 5)]


async def test_shadow_counts_and_lets_pass(origin: Origin) -> None:
    """A rule in shadow refuses nobody, tells clients nothing, and says how many it would refuse."""
    config = _config({"name": "trial", "key": "route", "rate": "1/h", "burst": 1, "mode": "shadow"})
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        for _ in range(4):
            await client.send(_get())
            answer = await client.answer()
            assert (answer.status, answer.value("RateLimit-Policy")) == (200, None)
        assert gateway.snapshot().rate_limited == [("all", "trial", "shadow", 3)]


@pytest.mark.parametrize("key", ["client_ip", "header:x-api-key"])
async def test_equal_heads_of_two_clients_have_the_keys_that_are_theirs(origin: Origin, key: str) -> None:
    """Each address has its own quota, though its requests are byte for byte those of another; a header's is one."""
    config = _config({"name": "each", "key": key, "rate": "1/h", "burst": 3})
    statuses = []
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        for address in ("127.0.0.1", "127.0.0.2"):
            sock = socket.socket()
            sock.bind((address, 0))
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", gateway.port))
            client = Client(sock)
            stack.callback(client.close)
            for _ in range(4):
                await client.send(_get(fields="X-Api-Key: one\r\n"))
                statuses.append((await client.answer()).status)
    second = [200, 200, 200, 429] if key == "client_ip" else [429] * 4
    assert statuses == [200, 200, 200, 429, *second]


async def test_what_we_shed_costs_the_client_nothing(origin: Origin) -> None:
    """503 is our capacity, 429 the client's quota: a request that the gate sheds is given back."""
    hold = Hold(origin)
    config = _config({"name": "all", "key": "route", "rate": "1/h", "burst": 2}) | {
        "upstreams": {"origin": {"limit": {"kind": "fixed", "initial": 1}, "queue": {"max_length": 0}}}
    }
    config["upstreams"]["origin"]["timeouts"] = {"head": "20s"}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as first:
        await first.send(_get())
        async with connected(gateway.port) as second:
            for _ in range(4):
                while not hold.held:
                    await second.is_silent(0.01)
                await second.send(_get())
                answer = await second.answer()
                assert (answer.status, answer.json["reason"]) == (503, "queue_full")
            hold.release(2)
            assert (await first.answer()).status == 200
            await second.send(_get())
            assert (await second.answer()).status == 200
            await second.send(_get())
            assert (await second.answer()).status == 429


@pytest.mark.parametrize("fault", ["closed", "silent"])
async def test_what_the_upstream_fails_at_is_charged(origin: Origin, fault: str) -> None:
    """The service was asked, so 502 and 504 cost a request of the quota: only what we shed is given back."""

    async def fails(exchange: Exchange) -> None:
        if fault == "closed":
            exchange.wire.close()
        else:
            await exchange.wait_until_abandoned()

    origin.default = fails
    config = _config({"name": "all", "key": "route", "rate": "1/h", "burst": 2})
    config["upstreams"] = {"origin": {"timeouts": {"head": "300ms"}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        statuses = []
        for _ in range(3):
            await client.send(_get())
            statuses.append((await client.answer(within=20)).status)
        assert statuses == [502 if fault == "closed" else 504] * 2 + [429]
    assert len(origin.requests) == 2

"""Limit and queue in shadow decide and count, and turn nobody away; off they are not there."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from tests.support.gate import GET, Hold, connect_all, limited, queued
from tests.support.plane import running_gateway
from tests.support.running import until

if TYPE_CHECKING:
    from tests.support.origin import Origin
    from tests.support.plane import RunningGateway


def _with_modes(*, limit: str = "enforce", queue: str = "enforce", **bounds: Any) -> dict[str, Any]:
    config = limited(1, mode=queue, **bounds)
    config["upstreams"]["origin"]["limit"]["mode"] = limit
    return config


def _shed(gateway: RunningGateway) -> dict[tuple[str, str], int]:
    found: Counter[tuple[str, str]] = Counter()
    for _, reason, mode, count in gateway.snapshot().gates["origin"].shed:
        found[reason, mode] += count
    return dict(found)


async def test_a_limit_in_shadow_lets_pass_and_counts_whom_it_would_have_made_wait(origin: Origin) -> None:
    """Five at once pass a limit of one; four are counted, and each is a decision in shadow that refused nobody."""
    hold = Hold(origin)
    async with running_gateway(origin.port, _with_modes(limit="shadow")) as gateway, AsyncExitStack() as stack:
        clients = await connect_all(stack, gateway, 5)
        for client in clients:
            await client.send(GET)
        await until(lambda: hold.held == 5)
        assert queued(gateway) == 0
        gate = gateway.snapshot().gates["origin"]
        assert (gate.limit, gate.queued) == (1, {})
        assert gateway.plane.gates["origin"].in_flight == 5
        assert _shed(gateway) == {("limit_reached", "shadow"): 4}
        hold.release(5)
        for client in clients:
            assert (await client.answer()).status == 200
        decisions = gateway.plane.take_decisions()
        assert {(d.reason, d.mode, d.rule) for d in decisions} == {
            ("limit_reached", "shadow", "upstreams.origin.limit")
        }
        assert [(d.observed, d.allowed) for d in decisions] == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert gateway.plane.gates["origin"].in_flight == 0
    assert gateway.errors() == {}


async def test_a_limit_that_learns_does_so_in_shadow_too(origin: Origin) -> None:
    """It is told of whom it held back and of every end, as if it were enforced."""
    hold = Hold(origin)
    config = _with_modes(limit="shadow")
    config["upstreams"]["origin"]["limit"] |= {"kind": "aimd", "initial": 2, "max": 50}
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        clients = await connect_all(stack, gateway, 12)
        for _ in range(6):
            for client in clients:
                await client.send(GET)
            await until(lambda: hold.held == 12)
            hold.release(12)
            for client in clients:
                assert (await client.answer()).status == 200
        gate = gateway.snapshot().gates["origin"]
        assert gate.limit > 2
        assert sum(gate.limit_changes.values()) > 0


async def test_a_limit_that_is_off_holds_nobody_back_and_is_not_shown(origin: Origin) -> None:
    """There is no number to show, and nothing to count."""
    hold = Hold(origin)
    async with running_gateway(origin.port, _with_modes(limit="off")) as gateway, AsyncExitStack() as stack:
        clients = await connect_all(stack, gateway, 5)
        for client in clients:
            await client.send(GET)
        await until(lambda: hold.held == 5)
        gateway.plane.parts.deal({"origin": 1}, {})
        hold.release(5)
        for client in clients:
            assert (await client.answer()).status == 200
        for client in clients:
            await client.send(GET)
        await until(lambda: hold.held == 5)
        assert (gateway.snapshot().gates["origin"].limit, _shed(gateway)) == (0, {})
        hold.release(5)
        for client in clients:
            assert (await client.answer()).status == 200


async def test_a_queue_in_shadow_refuses_nobody_and_the_limit_holds(origin: Origin) -> None:
    """Whom a queue of one would refuse waits on, behind the one in the queue; never is more in flight than the limit."""
    hold = Hold(origin)
    config = _with_modes(queue="shadow", max_length=1)
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        clients = await connect_all(stack, gateway, 4)
        for number, client in enumerate(clients):
            await client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            await until(lambda: sum(gateway.snapshot().gates["origin"].queued.values()) + hold.held > number)  # noqa: B023
        assert queued(gateway) == 1
        assert gateway.snapshot().gates["origin"].queued == {"default": 3}
        assert _shed(gateway) == {("queue_full", "shadow"): 2}
        hold.release(4)
        for number, client in enumerate(clients):
            assert (await client.answer()).body == b"/%d" % number
        (one, _) = gateway.plane.take_decisions()
        assert (one.reason, one.mode, one.rule) == ("queue_full", "shadow", "upstreams.origin.queue")
    assert [request.target for request in origin.requests] == [b"/0", b"/1", b"/2", b"/3"]
    assert hold.most == 1
    assert gateway.errors() == {}


async def test_a_queue_in_shadow_counts_once_who_waited_too_long_and_lets_it_wait(origin: Origin) -> None:
    """After the longest wait the request is counted, stays, and is served; one whose client leaves is gone."""
    hold = Hold(origin)
    config = _with_modes(queue="shadow", max_wait="50ms")
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        first, stays, leaves = await connect_all(stack, gateway, 3)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await stays.send(GET)
        await leaves.send(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: _shed(gateway) == {("queue_timeout", "shadow"): 2})
        await asyncio.sleep(0.2)
        assert _shed(gateway) == {("queue_timeout", "shadow"): 2}
        leaves.reset()
        await until(lambda: gateway.snapshot().gates["origin"].queued == {"default": 1})
        hold.release(2)
        assert (await first.answer()).status == (await stays.answer()).status == 200
    assert not origin.asked("/gone")
    gate = gateway.plane.gates["origin"]
    assert (gate.in_flight, gate.queue.count, gate.waiting_size) == (0, 0, 0)


async def test_a_queue_in_shadow_keeps_a_deadline_all_the_same(origin: Origin) -> None:
    """The request's own time is not the queue's rule: when it is over the client hears so."""
    hold = Hold(origin)
    config = _with_modes(queue="shadow", max_length=0)
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        first, second = await connect_all(stack, gateway, 2)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await second.send(GET.replace(b"Host: a", b"Host: a\r\nX-Request-Timeout-Ms: 100"))
        answer = await second.answer()
        assert (answer.status, answer.json["reason"]) == (504, "request_timeout")
        assert not sum(gateway.snapshot().gates["origin"].queued.values())
        hold.release()
        assert (await first.answer()).status == 200


async def test_without_a_queue_the_limit_refuses_at_once(origin: Origin) -> None:
    """Over the limit the client hears limit_reached with the limit's numbers, and nobody waits."""
    hold = Hold(origin)
    async with running_gateway(origin.port, _with_modes(queue="off")) as gateway, AsyncExitStack() as stack:
        first, second = await connect_all(stack, gateway, 2)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await second.send(GET)
        answer = await second.answer()
        told = answer.json
        assert (answer.status, told["reason"], told["rule"]) == (503, "limit_reached", "upstreams.origin.limit")
        assert (told["observed"], told["allowed"]) == (1, 1)
        assert int(answer.value("Retry-After") or 0) >= 1
        assert _shed(gateway) == {("limit_reached", "enforce"): 1}
        hold.release(2)
        assert (await first.answer()).status == 200
        await second.send(GET)
        assert (await second.answer()).status == 200

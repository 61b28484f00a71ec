"""The gate in the path: who is let in, who waits, who is turned away and how that is said."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tests.support.client import connected
from tests.support.gate import GET, Hold, connect_all, limited, queued
from tests.support.origin import running_origin
from tests.support.plane import running_gateway
from tests.support.running import until

if TYPE_CHECKING:
    from tests.support.origin import Origin


async def test_never_more_than_the_limit_is_in_flight_and_everybody_is_served_in_turn(origin: Origin) -> None:
    """Twenty requests pass a limit of three, three at a time."""
    hold = Hold(origin)
    async with running_gateway(origin.port, limited(3)) as gateway, AsyncExitStack() as stack:
        clients = await connect_all(stack, gateway, 20)
        for client in clients:
            await client.send(GET)
        await until(lambda: queued(gateway) == 17)
        hold.release(20)
        for client in clients:
            assert (await client.answer()).status == 200
    assert hold.most == 3
    assert gateway.plane.gates["origin"].in_flight == 0


async def test_a_full_queue_is_said_so_that_the_client_can_act(origin: Origin) -> None:
    """The refusal carries its reason, rule, numbers, request id and Retry-After, and leaves the connection usable."""
    hold = Hold(origin)
    async with running_gateway(origin.port, limited(1, max_length=1)) as gateway, AsyncExitStack() as stack:
        first, second, third = await connect_all(stack, gateway, 3)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await second.send(GET)
        await until(lambda: queued(gateway) == 1)
        await third.send(GET)
        answer = await third.answer()
        told = answer.json
        assert (answer.status, told["reason"], told["rule"]) == (503, "queue_full", "upstreams.origin.queue")
        assert (told["observed"], told["allowed"]) == (1, 1)
        assert told["request_id"] == answer.value("X-Request-Id")
        assert int(answer.value("Retry-After") or 0) >= 1
        assert 'details="queue_full"' in (answer.value("Proxy-Status") or "")
        hold.release(3)
        assert (await first.answer()).status == (await second.answer()).status == 200
        await third.send(GET)
        assert (await third.answer()).status == 200
        (decision,) = gateway.plane.take_decisions()
        assert (decision.reason, decision.in_flight, decision.limit, decision.queued) == ("queue_full", 1, 1, 1)
    shed = gateway.snapshot().gates["origin"].shed
    assert shed == [("default", "queue_full", "enforce", 1)]


async def test_who_leaves_the_queue_frees_its_place_and_is_never_sent(origin: Origin) -> None:
    """A waiting client that goes is gone at once; the next one is served, the upstream never hears of it."""
    hold = Hold(origin)
    async with running_gateway(origin.port, limited(1)) as gateway, AsyncExitStack() as stack:
        first, second, third = await connect_all(stack, gateway, 3)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await second.send(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
        await third.send(b"GET /third HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: queued(gateway) == 2)
        second.reset()
        await until(lambda: queued(gateway) == 1)
        hold.release(2)
        assert (await first.answer()).body == b"/case"
        assert (await third.answer()).body == b"/third"
    assert not origin.asked("/gone")
    assert gateway.errors() == {"client_gone": 1}


async def test_a_queue_bounded_in_time_sheds_who_waited_too_long(origin: Origin) -> None:
    """After the longest wait the client hears queue_timeout; the upstream never sees the request."""
    hold = Hold(origin)
    async with running_gateway(origin.port, limited(1, max_wait="100ms")) as gateway, AsyncExitStack() as stack:
        first, second = await connect_all(stack, gateway, 2)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await second.send(GET)
        answer = await second.answer()
        assert (answer.status, answer.json["reason"]) == (503, "queue_timeout")
        hold.release()
        assert (await first.answer()).status == 200
    assert len(origin.requests) == 1


async def test_no_100_before_admission(origin: Origin) -> None:
    """A client that expects 100-continue waits without sending its body, and gets 100 when it is admitted."""
    hold = Hold(origin)
    async with running_gateway(origin.port, limited(1)) as gateway, AsyncExitStack() as stack:
        first, second = await connect_all(stack, gateway, 2)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await second.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        await until(lambda: queued(gateway) == 1)
        assert await second.is_silent(0.2)
        port = second.wire.socket.getsockname()[1]
        (its,) = [
            each for each in gateway.plane.door.connections if each._transport.get_extra_info("peername")[1] == port
        ]
        before = its.deadline
        hold.release(2)
        assert (await first.answer()).status == 200
        async with asyncio.timeout(5):
            await second.wire.has_more()
        assert its.deadline > before, "the time for the body begins when it is asked for"
        assert second.wire.take_available() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await second.send(b"body")
        assert (await second.answer()).status == 200


async def test_high_classes_go_first_and_evict_low_ones(origin: Origin) -> None:
    """Strict bands by route: the critical request overtakes, and a full queue gives up the lowest."""
    hold = Hold(origin)
    config = limited(1, max_length=2) | {
        "classes": {"critical": {"band": 0}, "batch": {"band": 2}},
        "routes": {
            "all": {"upstream": "origin"},
            "high": {"upstream": "origin", "class": "critical", "match": {"path": "/high"}},
            "low": {"upstream": "origin", "class": "batch", "match": {"path": "/low"}},
        },
    }
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        first, low, middle, high = await connect_all(stack, gateway, 4)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await low.send(GET.replace(b"/case", b"/low"))
        await until(lambda: queued(gateway) == 1)
        await middle.send(GET)
        await until(lambda: queued(gateway) == 2)
        await high.send(GET.replace(b"/case", b"/high"))
        answer = await low.answer()
        assert (answer.status, answer.json["reason"]) == (503, "evicted")
        hold.release(3)
        for client in (first, high, middle):
            assert (await client.answer()).status == 200
    assert [request.target for request in origin.requests] == [b"/case", b"/high", b"/case"]


async def test_a_request_body_waits_with_its_request(origin: Origin) -> None:
    """Bodies small and large arrive whole after a wait."""
    hold = Hold(origin)
    async with running_gateway(origin.port, limited(1)) as gateway, AsyncExitStack() as stack:
        first, small, large = await connect_all(stack, gateway, 3)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        await small.send(b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nsmall")
        body = bytes(range(256)) * 2000
        sending = asyncio.create_task(
            large.send(b"POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        )
        await until(lambda: queued(gateway) == 2)
        hold.release(3)
        await sending
        for client in (first, small, large):
            assert (await client.answer()).status == 200
    assert bytes(origin.asked("/small")[0].body) == b"small"
    assert bytes(origin.asked("/large")[0].body) == body


async def test_a_client_that_was_not_asked_for_its_body_is_not_late_with_it(origin: Origin) -> None:
    """However long it waits for 100, the time for its body begins with 100; then silence is answered with 408."""
    hold = Hold(origin)
    config = limited(1)
    config["gateway"]["timeouts"]["body_idle"] = "150ms"
    head = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        first, good, idle, hasty = await connect_all(stack, gateway, 4)
        await first.send(GET)
        await until(lambda: hold.held == 1)
        for client in (good, idle):
            await client.send(head)
        await until(lambda: queued(gateway) == 2)
        assert await good.is_silent(0.6)
        # one that does not wait for 100 has begun its body, and has to go on with it
        await hasty.send(head + b"b")
        answer = await hasty.answer()
        assert (answer.status, answer.json["reason"], answer.interim) == (408, "body_timeout", [])
        assert queued(gateway) == 2
        hold.release(2)
        async with asyncio.timeout(5):
            await good.wire.has_more()
        assert good.wire.take_available() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await good.send(b"body")
        assert (await good.answer()).status == 200
        answer = await idle.answer()
        assert [head.status for head in answer.interim] == [100]
        assert (answer.status, answer.json["reason"]) == (408, "body_timeout")


async def test_bytes_are_dealt_out_like_places(origin: Origin) -> None:
    """A worker's part of the queue is a part of its bytes too, but always has room for one request."""
    hold = Hold(origin)
    post = b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000
    async with running_gateway(origin.port, limited(1, max_bytes="200KiB")) as gateway, AsyncExitStack() as stack:
        clients = await connect_all(stack, gateway, 6)
        await clients[0].send(GET)
        await until(lambda: hold.held == 1)
        for part, length, allowed in ((0.1, 1, 65_536), (0.5, 2, 102_400), (1.0, 5, 204_800)):
            gateway.plane.parts.deal({}, {"origin": part})
            while queued(gateway) < length:
                before = queued(gateway)
                await clients[before + 1].send(post)
                await until(lambda: queued(gateway) > before)  # noqa: B023
            async with connected(gateway.port) as late:
                await late.send(post)
                told = (await late.answer()).json
            assert (told["reason"], told["observed"], told["allowed"]) == (
                "queue_bytes_full", 40_000 * (length + 1), allowed
            )  # fmt: skip
        hold.release(6)
        for client in clients:
            assert (await client.answer()).status == 200


async def test_routes_share_fairly_where_each_is_one(origin: Origin) -> None:
    """With the route as fairness key many requests of one route do not hold up the first of another."""
    hold = Hold(origin)
    config = limited(1, fairness_key="route") | {
        "routes": {
            "all": {"upstream": "origin"},
            "other": {"upstream": "origin", "match": {"path": "/other"}},
        }
    }
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        clients = await connect_all(stack, gateway, 6)
        await clients[0].send(GET)
        await until(lambda: hold.held == 1)
        for number in range(1, 6):
            await clients[number].send(GET if number < 5 else GET.replace(b"/case", b"/other"))
            await until(lambda: queued(gateway) == number)  # noqa: B023
        hold.release(6)
        for client in clients:
            assert (await client.answer()).status == 200
    assert [request.target for request in origin.requests].index(b"/other") == 2


async def test_a_limit_for_each_endpoint(origin: Origin) -> None:
    """No endpoint gets more than its own limit, and the queue takes what exceeds the sum."""
    async with running_origin() as other:
        holds = [Hold(origin), Hold(other)]
        config = limited(2)
        config["upstreams"]["origin"]["limit"]["per"] = "endpoint"
        config["upstreams"]["origin"]["endpoints"] = [f"http://127.0.0.1:{one.port}" for one in (origin, other)]
        async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
            clients = await connect_all(stack, gateway, 7)
            for client in clients:
                await client.send(GET)
            await until(lambda: queued(gateway) == 3)
            assert [hold.held for hold in holds] == [2, 2]
            for hold in holds:
                hold.release(7)
            for client in clients:
                assert (await client.answer()).status == 200

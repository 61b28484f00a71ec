"""What one page, one route or one client causes is held against nobody else."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.clock import ManualClock
from tests.support.client import connected
from tests.support.origin import echo
from tests.support.plane import running_gateway
from tests.support.running import until
from tests.support.upstreams import ask, gateway_before, hang, head, origins, refuse_by_status

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin
    from tests.support.plane import RunningGateway

BREAKER: dict[str, Any] = {"mode": "enforce", "min_calls": 10, "slow_threshold": "100ms", "open_for": "30s"}
# What ended a moment ago is no witness that calls go on ending.
SHORT = BREAKER | {"window": "500ms"}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n"


@pytest.fixture
async def pair() -> object:
    async with origins(2) as some:
        yield some


def _open(gateway: RunningGateway) -> set[str]:
    """What is open: pages and routes by their names, endpoints and upstreams by their URLs."""
    found = gateway.snapshot().resilience["origin"]
    names = {url or "origin" for url, one in found.endpoints.items() if "open" in one.states}
    for route, watched in found.routes.items():
        names |= {page or route for page, states in watched.states.items() if "open" in states}
    return names


async def _slowly(exchange: Exchange) -> None:
    await asyncio.sleep(0.6)
    await echo(exchange)


async def _stream(exchange: Exchange) -> None:
    await exchange.wire.send(STREAM)
    await exchange.wait_until_abandoned()


@pytest.mark.parametrize("routes", ["one", "two"])
async def test_a_page_that_always_fails_closes_only_itself(pair: list[Origin], routes: str) -> None:
    """With two thirds of the traffic on a page of errors, the good page is answered 100 times of 100."""
    only = pair[0]
    only.on("/bug", refuse_by_status)
    upstream = {"endpoints": [f"http://127.0.0.1:{only.port}"], "breaker": BREAKER}
    config: dict[str, Any] = {"upstreams": {"origin": upstream}}
    if routes == "two":
        config["routes"] = {"bug": {"upstream": "origin", "match": {"path": "/bug"}}}
    async with running_gateway(only.port, config) as gateway:
        good = []
        for _ in range(100):
            bad = [await ask(gateway, path="/bug") for _ in range(2)]
            good.append((await ask(gateway, path="/good")).status)
        assert good == [200] * 100
        assert bad[-1].json["reason"] == "breaker_open"
        assert _open(gateway) == {"/bug"}
    assert len(only.asked("/bug")) == 10


async def test_a_page_that_asks_to_be_left_alone_speaks_for_itself(pair: list[Origin]) -> None:
    """Six answers of 503 with Retry-After: 120 close that page for a while, and no other."""
    only = pair[0]

    async def full(exchange: Exchange) -> None:
        await exchange.answer(b"full", b"503 Service Unavailable", b"Retry-After: 120\r\n")

    only.on("/full", full)
    async with gateway_before([only], breaker={"mode": "enforce"}) as gateway:
        answers = [await ask(gateway, path="/full") for _ in range(6)]
        assert answers[-1].json["reason"] == "breaker_open"
        assert int(answers[-1].value("Retry-After") or 0) >= 50
        assert [(await ask(gateway, path="/good")).status for _ in range(20)] == [200] * 20
        assert _open(gateway) == {"/full"}


async def test_failures_on_many_pages_are_the_routes(pair: list[Origin]) -> None:
    """When every page fails the route is closed, for pages that were never asked, too."""
    only = pair[0]
    only.default = refuse_by_status
    async with gateway_before([only], breaker=BREAKER) as gateway:
        for name in "abcdefghij":
            await ask(gateway, path=f"/{name}")
            await ask(gateway, path=f"/{name}")
        assert (await ask(gateway, path="/new")).json["reason"] == "breaker_open"
        assert _open(gateway) == {"all"}


async def test_failures_on_several_routes_are_the_endpoints(pair: list[Origin]) -> None:
    """When each of two routes fails, their only endpoint's breaker opens as well."""
    only = pair[0]
    only.default = refuse_by_status
    upstream = {"endpoints": [f"http://127.0.0.1:{only.port}"], "breaker": BREAKER}
    routes = {name: {"upstream": "origin", "match": {"path": f"/{name}/*"}} for name in "xy"}
    async with running_gateway(only.port, {"upstreams": {"origin": upstream}, "routes": routes}) as gateway:
        for _ in range(10):
            for path in ("/x/1", "/y/1"):
                await ask(gateway, path=path)
        assert f"http://127.0.0.1:{only.port}" in _open(gateway)


async def test_no_connection_is_the_endpoints(pair: list[Origin]) -> None:
    """Refused connections on one page alone open the endpoint's breaker, and no page's."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with gateway_before(pair[:1], endpoints=[url], breaker=BREAKER) as gateway:
            for _ in range(10):
                assert (await ask(gateway)).json["reason"] == "connect_refused"
            assert _open(gateway) == {url}


async def test_an_endpoint_that_fails_among_healthy_peers_is_to_blame(pair: list[Origin]) -> None:
    """The page is answered elsewhere, so its failures here are the endpoint's."""
    pair[0].default = refuse_by_status
    retry = {"attempts": 2, "budget": {"ratio": 1.0, "min_per_second": 100}}
    options: dict[str, Any] = {"balance": "round_robin", "outlier": {"mode": "off"}}
    async with gateway_before(pair, clock=ManualClock(1000.0), breaker=BREAKER, retry=retry, **options) as gateway:
        assert {(await ask(gateway)).status for _ in range(40)} == {200}
        assert _open(gateway) == {f"http://127.0.0.1:{pair[0].port}"}


async def test_what_says_something_about_a_page_only_is_no_failure(pair: list[Origin]) -> None:
    """501 and 507 open nothing, unless they are named."""
    only = pair[0]

    async def unable(exchange: Exchange) -> None:
        await exchange.answer(b"", b"507 Insufficient Storage")

    only.default = unable
    async with gateway_before([only], breaker=BREAKER) as gateway:
        assert {(await ask(gateway)).status for _ in range(30)} == {507}
        assert _open(gateway) == set()
    async with gateway_before([only], breaker=BREAKER | {"failures": ["507"]}) as gateway:
        assert {(await ask(gateway)).status for _ in range(30)} == {507, 503}
        assert _open(gateway) == {"/case"}


async def test_a_clients_own_haste_says_nothing(pair: list[Origin]) -> None:
    """X-Request-Timeout-Ms shorter than an answer takes opens nothing, and calls for no replicas."""
    only = pair[0]
    only.default = _slowly
    async with gateway_before([only], breaker=BREAKER) as gateway:

        async def hurry() -> int:
            async with connected(gateway.port) as client:
                await client.send(head("GET", fields=b"X-Request-Timeout-Ms: 10\r\n"))
                return (await client.answer()).status

        assert set(await asyncio.gather(*(hurry() for _ in range(30)))) == {504}
        assert _open(gateway) == set()
        counters = gateway.plane.counters.upstream("origin")
        assert (counters.failed, counters.starved) == (0, 0)


async def test_slow_is_not_sick(pair: list[Origin]) -> None:
    """Quick calls of one page and then only long ones of another: no call hangs, and nothing is refused."""
    only = pair[0]
    only.on("/long", _slowly)
    async with gateway_before([only], breaker=SHORT, timeouts={"head": "5s"}) as gateway:
        for _ in range(12):
            await ask(gateway, path="/quick")
        for _ in range(2):
            answers = await asyncio.gather(*(ask(gateway, path="/long") for _ in range(12)))
            assert {one.status for one in answers} == {200}
        assert gateway.snapshot().resilience["origin"].routes == {}


async def test_a_slow_upload_does_not_hang(pair: list[Origin]) -> None:
    """While the client sends, nobody waits for the endpoint."""
    only = pair[0]
    async with gateway_before([only], breaker=SHORT) as gateway:
        for _ in range(12):
            await ask(gateway, "POST", body=b"quick")

        async def upload() -> int:
            async with connected(gateway.port) as client:
                await client.send(head("POST", body=b"x" * 12)[:-12])
                for _ in range(12):
                    await client.send(b"x")
                    await asyncio.sleep(0.06)
                return (await client.answer()).status

        assert set(await asyncio.gather(*(upload() for _ in range(8)))) == {200}
        found = gateway.snapshot().resilience["origin"]
        assert (found.routes, _open(gateway)) == ({}, set())
        assert gateway.plane._groups["origin"].endpoints[0].breaker.transitions == {}


async def test_a_quiet_stream_is_cut_and_convicts_nobody(pair: list[Origin]) -> None:
    """Event streams that say nothing for longer than ``idle`` are no time-outs of their endpoint."""
    only = pair[0]
    only.on("/events", _stream)
    async with gateway_before([only], breaker=BREAKER, timeouts={"idle": "100ms"}) as gateway:

        async def listen() -> None:
            async with connected(gateway.port) as client:
                await client.send(head("GET", "/events"))
                await client.rest()

        await asyncio.gather(*(listen() for _ in range(20)))
        assert gateway.errors() == {"upstream_idle_timeout": 20}
        assert _open(gateway) == set()
        assert gateway.snapshot().resilience["origin"].attempts["neutral"] == 20


async def test_streams_make_no_outlier(pair: list[Origin]) -> None:
    """An endpoint that carries all event streams is not stuck, and one whose listeners leave is not abandoned."""
    for one in pair:
        one.on("/events", _stream)
    async with gateway_before(pair, timeouts={"idle": "10s"}) as gateway:
        for _ in range(40):
            await ask(gateway)
        async with connected(gateway.port) as client:
            await client.send(head("GET", "/events"))
            await until(lambda: any(one.in_flight for one in gateway.plane._groups["origin"].endpoints))
            (carrier,) = [one for one in gateway.plane._groups["origin"].endpoints if one.in_flight]
            far = gateway.plane.clock.now() + 100
            assert carrier.stuck(far) == []
        await gateway.settle()
        assert carrier.standing.abandoned == 0


async def test_an_answer_that_drips_is_stuck(pair: list[Origin]) -> None:
    """An answer of a page that is known to end, and does not for twenty times its usual, counts against its endpoint."""

    async def drip(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        await exchange.wait_until_abandoned()

    async with gateway_before(pair, timeouts={"idle": "10s"}) as gateway:
        for _ in range(12):
            await ask(gateway)
        pair[0].default = pair[1].default = drip
        async with connected(gateway.port) as client:
            await client.send(head("GET"))
            await until(lambda: any(one.in_flight for one in gateway.plane._groups["origin"].endpoints))
            (carrier,) = [one for one in gateway.plane._groups["origin"].endpoints if one.in_flight]
            (age,) = carrier.stuck(gateway.plane.clock.now() + 100)
            assert age > 99


async def test_a_failed_check_leaves_what_is_under_way_alone(pair: list[Origin]) -> None:
    """An endpoint whose check fails gets no new requests, and ends those that it has, however late they are."""
    retry = {"attempts": 3, "budget": {"ratio": 1.0, "min_per_second": 100}}
    options: dict[str, Any] = {"health": {"path": "/h"}, "timeouts": {"head": "5s"}}
    async with gateway_before(pair, breaker=BREAKER | {"mode": "off"}, retry=retry, **options) as gateway:
        for _ in range(20):  # so that it is known how long an answer takes
            await ask(gateway)
        for one in pair:
            one.default = _slowly
            one.requests.clear()
        asked = [asyncio.create_task(ask(gateway)) for _ in range(20)]
        await until(lambda: sum(len(one.requests) for one in pair) == 20)
        before = len(pair[0].requests)
        assert before
        gateway.plane.on_checked("origin", f"http://127.0.0.1:{pair[0].port}", is_up=False, has_passed=False)
        asked += [asyncio.create_task(ask(gateway)) for _ in range(5)]
        assert {one.status for one in await asyncio.gather(*asked)} == {200}
        assert gateway.snapshot().resilience["origin"].retries == {}
        assert not any(one.is_abandoned for one in pair[0].requests)
        assert len(pair[0].requests) == before


async def test_a_handshake_is_not_hedged(pair: list[Origin]) -> None:
    """A tunnel cannot be had twice: a late 101 is waited for, and no second answer gets into it."""

    async def switch_late(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        await exchange.wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        await exchange.wait_until_abandoned()

    pair[0].default = pair[1].default = switch_late
    retry = {"attempts": 3, "budget": {"ratio": 1.0, "min_per_second": 100}}
    async with gateway_before(pair, retry=retry, hedge={"after": "10ms"}) as gateway:
        async with connected(gateway.port) as client:
            await client.send(head("GET", fields=b"Connection: Upgrade\r\nUpgrade: echo\r\n"))
            await until(lambda: gateway.plane.counters.upstream("origin").streams == 1)
        await gateway.settle()
        assert gateway.plane.counters.upstream("origin").streams == 0
        assert gateway.snapshot().resilience["origin"].hedges == {}
    assert len(pair[0].requests) + len(pair[1].requests) == 1


async def test_calls_of_one_page_that_hang_close_that_page(pair: list[Origin]) -> None:
    """Its calls are known to be quick, and none ends any more; other pages are answered."""
    only = pair[0]
    async with gateway_before([only], breaker=BREAKER, timeouts={"head": "3s"}) as gateway:
        for _ in range(12):
            await ask(gateway, path="/stuck")
        only.on("/stuck", hang)
        waiting = [asyncio.create_task(ask(gateway, path="/stuck")) for _ in range(8)]
        await until(lambda: _open(gateway) == {"/stuck"}, within=20)
        assert (await ask(gateway, path="/good")).status == 200
        await asyncio.gather(*waiting)


async def test_a_service_whose_pages_are_all_shut_is_shut(pair: list[Origin]) -> None:
    """Signals say so, though no endpoint's breaker is open; while one page is answered they do not."""
    only = pair[0]
    only.on("/bug", refuse_by_status)
    async with gateway_before([only], breaker=BREAKER) as gateway:
        await ask(gateway, path="/good")
        for _ in range(11):
            await ask(gateway, path="/bug")
        assert gateway.snapshot().resilience["origin"].is_shut == 0
        group, later = gateway.plane._groups["origin"], gateway.plane.clock.now() + 11
        assert group.is_all_shut(later)


async def test_what_one_endpoint_cannot_take_another_may(pair: list[Origin]) -> None:
    """503 with Retry-After from one of two closes that endpoint, not the page that the other answers."""

    async def full(exchange: Exchange) -> None:
        await exchange.answer(b"full", b"503 Service Unavailable", b"Retry-After: 4\r\n")

    pair[0].default = full
    retry = {
        "attempts": 2,
        "statuses": [503],
        "budget": {"ratio": 1.0, "min_per_second": 100},
        "backoff": {"base": "1ms"},
    }
    options: dict[str, Any] = {"balance": "round_robin", "outlier": {"mode": "off"}}
    async with running_gateway(
        pair[0].port,
        {
            "upstreams": {
                "origin": {
                    "endpoints": [f"http://127.0.0.1:{one.port}" for one in pair],
                    "breaker": BREAKER,
                    "retry": retry,
                    **options,
                }
            },
            "routes": {"all": {"upstream": "origin", "timeout": "5s"}},
        },
        clock=ManualClock(1000.0),
    ) as gateway:
        assert {answer.status for answer in await asyncio.gather(*(ask(gateway) for _ in range(20)))} == {200}
        assert "/case" not in _open(gateway)
        assert f"http://127.0.0.1:{pair[0].port}" in _open(gateway)

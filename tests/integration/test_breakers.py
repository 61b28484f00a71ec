"""What fails is left alone, asked again carefully, and says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import connected
from tests.support.origin import echo
from tests.support.running import until
from tests.support.upstreams import ask, gateway_before, hang, head, origins, refuse_by_status, reset_at_once

if TYPE_CHECKING:
    from tests.support.origin import Behaviour, Exchange, Origin
    from tests.support.plane import RunningGateway

# Trips after ten calls, tries again after 300 ms.
BREAKER: dict[str, Any] = {
    "mode": "enforce",
    "min_calls": 10,
    "slow_threshold": "200ms",
    "open_for": "300ms",
    "max_open_for": "600ms",
    "probes": 2,
    "successes": 2,
}


@pytest.fixture
async def pair() -> object:
    async with origins(2) as some:
        yield some


def _state(gateway: RunningGateway, url: str) -> str:
    (word,) = gateway.snapshot().resilience["origin"].endpoints[url].states
    return word


def _page_state(gateway: RunningGateway, page: str = "/case") -> str:
    """The state of a page's breaker; there is none while nothing fails."""
    route = gateway.snapshot().resilience["origin"].routes.get("all")
    states = {} if route is None else route.states.get(page, {})
    (word,) = states or {"closed": 1}
    return word


def _reasons(gateway: RunningGateway) -> set[tuple[str, str, str]]:
    route = gateway.snapshot().resilience["origin"].routes["all"]
    return {(before, after, reason) for before, after, reason, _ in route.transitions}


def _url(origin: Origin) -> str:
    return f"http://127.0.0.1:{origin.port}"


@pytest.mark.parametrize("fault", [refuse_by_status, reset_at_once])
async def test_a_failing_endpoint_is_left_alone_and_the_client_told(pair: list[Origin], fault: Behaviour) -> None:
    """Open, it sees nothing; the refusal has reason, rule, numbers, Proxy-Status and the time of reopening."""
    only = pair[0]
    only.default = fault
    async with gateway_before([only], breaker=BREAKER | {"open_for": "5s", "max_open_for": "5s"}) as gateway:
        for _ in range(10):
            assert (await ask(gateway)).status in {500, 502}
        assert (_page_state(gateway), _state(gateway, _url(only))) == ("open", "closed")
        seen = len(only.requests)
        answer = await ask(gateway)
        assert len(only.requests) == seen
        assert (answer.status, answer.json["reason"]) == (503, "breaker_open")
        assert answer.json["rule"] == "upstreams.origin.breaker"
        assert 1 <= int(answer.value("Retry-After") or 0) <= 8
        assert "destination_unavailable" in (answer.value("Proxy-Status") or "")
        (decision,) = [one for one in gateway.plane.take_decisions() if one.reason == "breaker_open"]
        assert (decision.observed, decision.allowed) == (1, 2)


async def test_it_comes_back_by_probes_and_a_ramp(pair: list[Origin]) -> None:
    """After the open time a few calls are let in at once; when they succeed, the rest follows."""
    only = pair[0]
    async with gateway_before([only], breaker=BREAKER) as gateway:
        gateway.plane._groups["origin"].endpoints[0].breaker.open()
        active = most = 0

        async def careful(exchange: Exchange) -> None:
            nonlocal active, most
            active += 1
            if _state(gateway, _url(only)) == "half_open":
                most = max(most, active)
            await asyncio.sleep(0.02)
            active -= 1
            await echo(exchange)

        only.default = careful
        await until(lambda: _state(gateway, _url(only)) == "half_open")
        answers = await asyncio.gather(*(ask(gateway) for _ in range(30)))
        assert 1 <= most <= 2
        assert sum(answer.status == 200 for answer in answers) >= 20, "those without a place wait for one"
        await until(lambda: _state(gateway, _url(only)) == "closed", within=15)
        steps = {
            (before, after)
            for before, after, *_ in gateway.snapshot().resilience["origin"].endpoints[_url(only)].transitions
        }
        assert {("closed", "open"), ("open", "half_open"), ("half_open", "ramping"), ("ramping", "closed")} <= steps


async def test_calls_that_hang_open_it(pair: list[Origin]) -> None:
    """Nobody reports, so nobody fails; the age of what is in flight is enough."""
    only = pair[0]
    async with gateway_before([only], breaker=BREAKER, timeouts={"head": "3s"}) as gateway:
        for _ in range(10):
            await ask(gateway)
        only.default = hang
        waiting = [asyncio.create_task(ask(gateway)) for _ in range(12)]
        await until(lambda: _page_state(gateway) == "open", within=20)
        answer = await ask(gateway)
        assert (answer.status, answer.json["reason"]) == (503, "breaker_open")
        await asyncio.gather(*waiting)


async def test_those_who_wait_at_an_endpoint_that_hangs_go_elsewhere(pair: list[Origin]) -> None:
    """When its breaker opens, what can be repeated does not wait for the timeout; a POST does."""
    pair[0].default = hang
    retry = {"attempts": 2, "budget": {"ratio": 1.0, "min_per_second": 100}}
    async with gateway_before(pair, breaker=BREAKER, retry=retry, timeouts={"head": "20s"}) as gateway:
        answers = await asyncio.gather(*(ask(gateway) for _ in range(40)))
        assert {answer.status for answer in answers} == {200}
        assert gateway.snapshot().resilience["origin"].retries["upstream_head_timeout"] >= 1


async def test_on_its_last_attempt_a_request_waits_on(pair: list[Origin]) -> None:
    """Where it could not be sent again it is not taken from an endpoint that hangs: that may answer all the same."""
    go_on = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await go_on.wait()
        await echo(exchange)

    settings = {"breaker": {"mode": "off", "slow_threshold": "10ms"}, "retry": {"attempts": 1}}
    async with gateway_before(pair, **settings, timeouts={"head": "30s"}) as gateway:
        for _ in range(10):  # as many as it takes to know how long the page takes
            assert (await ask(gateway)).status == 200
        pair[0].default = pair[1].default = late
        waiting = asyncio.ensure_future(ask(gateway))
        endpoints = gateway.plane._groups["origin"].endpoints
        await until(lambda: any(one._attempt for each in endpoints for one in each._open))
        ((lost, exchange),) = [(each, one._attempt) for each in endpoints for one in each._open if one._attempt]
        await until(lambda: gateway.plane.clock.now() - exchange._attempt_at > exchange.page.hangs_after)
        lost.give_up()
        go_on.set()
        assert (await waiting).status == 200


async def test_what_clients_do_says_nothing(pair: list[Origin]) -> None:
    """Clients that leave and requests that are wrong (4xx) never open it."""
    only = pair[0]
    only.default = hang
    async with gateway_before([only], breaker=BREAKER | {"slow_threshold": "5s"}) as gateway:
        for _ in range(15):
            async with connected(gateway.port) as client:
                await client.send(head("GET"))
                await until(lambda: gateway.in_flight == 1)
                client.reset()
            await gateway.settle()

        async def not_found(exchange: Exchange) -> None:
            await exchange.answer(b"", b"404 Not Found")

        only.default = not_found
        for _ in range(15):
            assert (await ask(gateway)).status == 404
        assert _state(gateway, _url(only)) == "closed"


async def test_an_event_stream_does_not_hang(pair: list[Origin]) -> None:
    """An answer that has begun may last as long as it likes."""
    only = pair[0]

    async def stream(exchange: Exchange) -> None:
        await exchange.wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(12):
            await exchange.wire.send(b"3\r\n:\n\n\r\n")
            await asyncio.sleep(0.1)
        await exchange.wire.send(b"0\r\n\r\n")

    only.default = stream
    async with gateway_before([only], breaker=BREAKER) as gateway:
        answers = await asyncio.gather(*(ask(gateway) for _ in range(15)))
        assert {answer.status for answer in answers} == {200}
        assert _state(gateway, _url(only)) == "closed"


async def test_in_shadow_it_decides_and_refuses_nothing(pair: list[Origin]) -> None:
    """Its state is shown, every request goes through."""
    only = pair[0]
    only.default = refuse_by_status
    async with gateway_before([only], breaker=BREAKER | {"mode": "shadow"}) as gateway:
        for _ in range(20):
            assert (await ask(gateway)).status == 500
        assert _page_state(gateway) == "open"
    assert len(only.requests) == 20


async def test_a_bad_endpoint_does_not_cost_the_good_one(pair: list[Origin]) -> None:
    """One endpoint's breaker opens; everything goes to the other, and nothing is refused."""
    pair[0].default = refuse_by_status
    retry = {"attempts": 2, "budget": {"ratio": 1.0, "min_per_second": 100}}
    async with gateway_before(pair, breaker=BREAKER | {"open_for": "30s"}, retry=retry) as gateway:
        for _ in range(60):
            assert (await ask(gateway)).status == 200
        seen = len(pair[0].requests)
        for _ in range(30):
            assert (await ask(gateway)).status == 200
        assert len(pair[0].requests) == seen
        assert seen <= 30


async def test_by_hand(pair: list[Origin]) -> None:
    """Forced open nobody passes, forced closed everybody, reset forgets; actor and reason are kept."""
    only = pair[0]
    async with gateway_before([only], breaker=BREAKER) as gateway:
        url = _url(only)
        gateway.plane.set_breaker("origin", url, "force_open", "ada", "maintenance")
        assert (await ask(gateway)).json["reason"] == "breaker_open"
        assert _state(gateway, url) == "forced_open"
        gateway.plane.set_breaker("origin", url, "force_close", "ada", "done")
        only.default = refuse_by_status
        for _ in range(10):
            assert (await ask(gateway)).status == 500
        assert (_state(gateway, url), _page_state(gateway)) == ("forced_closed", "open")
        gateway.plane.set_breaker("origin", url, "reset", "ada", "normal again")
        gateway.plane.set_breaker("origin", "", "reset", "ada", "its pages, too")
        assert (_state(gateway, url), _page_state(gateway)) == ("closed", "closed")
        gateway.plane.set_breaker("origin", "", "force_open", "bob", "all of it")
        assert (await ask(gateway)).json["reason"] == "breaker_open"


async def test_what_waits_in_the_queue_is_not_kept_waiting(pair: list[Origin]) -> None:
    """When the only endpoint hangs and its breaker opens, newcomers are refused at once, although the limit is full."""
    only = pair[0]
    limit = {"kind": "fixed", "initial": 10, "max": 10}
    async with gateway_before([only], breaker=BREAKER, limit=limit, timeouts={"head": "3s"}) as gateway:
        for _ in range(10):
            await ask(gateway)
        only.default = hang
        waiting = [asyncio.create_task(ask(gateway)) for _ in range(25)]
        await until(lambda: _page_state(gateway) == "open", within=20)
        queued = [one for one in await asyncio.gather(*waiting) if one.json["reason"] != "upstream_head_timeout"]
        assert {one.json["reason"] for one in queued} <= {"breaker_open", "queue_timeout", "queue_delay"}
        assert queued


async def test_an_upstream_that_asks_to_be_left_alone_is(pair: list[Origin]) -> None:
    """503 with Retry-After opens it sooner than failures would, and for as long as it says."""
    only = pair[0]

    async def shed(exchange: Exchange) -> None:
        await exchange.answer(b"full", b"503 Service Unavailable", b"Retry-After: 7\r\n")

    only.default = shed
    settings = BREAKER | {"min_calls": 20, "open_for": "1s", "max_open_for": "60s"}
    async with gateway_before([only], breaker=settings) as gateway:
        for _ in range(5):
            assert (await ask(gateway)).body == b"full"
        answer = await ask(gateway)
        assert answer.json["reason"] == "breaker_open"
        assert int(answer.value("Retry-After") or 0) >= 6
    assert len(only.requests) == 5


async def test_who_always_takes_long_is_well(pair: list[Origin]) -> None:
    """A service whose usual answer takes longer than the threshold never opens its breaker by that."""
    only = pair[0]

    async def long(exchange: Exchange) -> None:
        await asyncio.sleep(0.35)
        await echo(exchange)

    only.default = long
    async with gateway_before([only], breaker=BREAKER, timeouts={"head": "20s"}) as gateway:
        for _ in range(2):
            answers = await asyncio.gather(*(ask(gateway) for _ in range(20)))
            assert {answer.status for answer in answers} == {200}
        assert _state(gateway, _url(only)) == "closed"


async def test_nothing_but_failures_after_a_good_time_open_it_at_once(pair: list[Origin]) -> None:
    """As many failures in a row as calls are needed are enough, however many good ones were before."""
    only = pair[0]
    async with gateway_before([only], breaker=BREAKER | {"open_for": "30s"}) as gateway:
        for _ in range(40):
            await ask(gateway)
        only.default = refuse_by_status
        for _ in range(10):
            assert (await ask(gateway)).status == 500
        assert (await ask(gateway)).json["reason"] == "breaker_open"


async def test_a_request_whose_answer_lasts_is_no_lost_probe(pair: list[Origin]) -> None:
    """The breaker of the whole upstream hears that an answer has begun, while it is trying too."""

    async def stream(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(12):
            await exchange.wire.send(b"3\r\n:\n\n\r\n")
            await asyncio.sleep(0.1)
        await exchange.wire.send(b"0\r\n\r\n")

    pair[0].default = pair[1].default = stream
    async with gateway_before(pair, breaker=BREAKER) as gateway:
        gateway.plane._groups["origin"].breaker.half_open()
        assert {answer.status for answer in await asyncio.gather(ask(gateway), ask(gateway))} == {200}
        transitions = gateway.snapshot().resilience["origin"].endpoints[""].transitions
        assert "probe_lost" not in {reason for _, _, reason, _ in transitions}


async def test_every_step_has_a_line_in_the_log(pair: list[Origin]) -> None:
    """Upstream, whose breaker it is, from, to and why; a page's and its route's by name, an endpoint's by address."""
    only = pair[0]
    only.default = refuse_by_status
    async with gateway_before([only], breaker=BREAKER) as gateway:
        for _ in range(10):
            await ask(gateway, path="/a/7")
        for _ in range(10):
            await ask(gateway, path="/b")
        only.default = echo
        await until(lambda: any(event.get("after") == "half_open" for event in gateway.events))
        gateway.plane.set_breaker("origin", _url(only), "force_open", "me", "trying it")
        lines = [event for event in gateway.events if event["event"] == "breaker"]
        opened = next(one for one in lines if one.get("page") == "/a/*")
        assert {key: opened[key] for key in ("upstream", "route", "before", "after")} == {
            "upstream": "origin",
            "route": "all",
            "before": "closed",
            "after": "open",
        }
        assert opened["reason"] in {"failure_ratio", "consecutive"}
        forced = lines[-1]
        assert (forced["endpoint"], forced["after"], forced["actor"]) == (_url(only), "forced_open", "me")
        found = gateway.snapshot().resilience["origin"]
        steps = [*found.endpoints.values(), *found.routes.values()]
        assert len(lines) == sum(n for one in steps for *_, n in one.transitions)


async def test_steps_are_logged_within_bounds(pair: list[Origin]) -> None:
    """A storm of steps writes 20 lines a second for an upstream, and says how many there were beside."""
    async with gateway_before(pair, breaker=BREAKER) as gateway:
        breaker = gateway.plane._groups["origin"].endpoints[0].breaker
        for _ in range(50):
            breaker.force_open("me", "", gateway.plane.clock.now())
            breaker.reset("me", "", gateway.plane.clock.now())
        assert sum(event["event"] == "breaker" for event in gateway.events) == 20

        def suppressed() -> list[int]:
            gateway.plane.note_changes()
            return [event["suppressed"] for event in gateway.events if event["event"] == "steps suppressed"]

        await until(suppressed)
        assert suppressed() == [80]

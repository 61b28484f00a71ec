"""A request whose attempt failed is made again where that is safe, affordable and of use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.client import connected
from tests.support.origin import echo
from tests.support.upstreams import QUICK, ask, gateway_before, hang, head, origins, refuse_by_status, reset_at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.origin import Behaviour, Exchange, Origin

GENEROUS = {**QUICK, "attempts": 3, "budget": {"ratio": 1.0, "min_per_second": 100}}


@pytest.fixture
async def pair() -> object:
    async with origins(2) as some:
        yield some


def _asked(some: list[Origin]) -> int:
    return sum(len(one.asked("/case")) for one in some)


@pytest.mark.parametrize("fault", [reset_at_once, refuse_by_status])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_an_idempotent_request_goes_to_another_endpoint(
    pair: list[Origin], fault: Behaviour, method: str
) -> None:
    """Whether the endpoint breaks off or answers 500: the client gets the other one's answer, bodies included."""
    pair[0].default = fault
    body = b"twice is as good as once" if method == "PUT" else b""
    async with gateway_before(pair, retry=GENEROUS) as gateway:
        for _ in range(8):
            answer = await ask(gateway, method, body=body)
            assert answer.status == 200
            if method == "PUT":
                assert answer.json["length"] == len(body)
        found = gateway.snapshot().resilience["origin"]
    failed = len(pair[0].asked("/case"))
    assert failed > 0
    assert sum(found.retries.values()) == failed
    assert len(pair[1].asked("/case")) == 8
    repeated = [one.value(b"X-Gateway-Attempt") for one in pair[1].asked("/case")]
    assert repeated.count(b"2") == failed
    assert repeated.count(None) == 8 - failed


@pytest.mark.parametrize("fault", [reset_at_once, refuse_by_status])
async def test_a_post_is_never_sent_twice(pair: list[Origin], fault: Behaviour) -> None:
    """What came to an endpoint and cannot be repeated safely is answered, not repeated."""
    pair[0].default = pair[1].default = fault
    async with gateway_before(pair, retry=GENEROUS) as gateway:
        for _ in range(6):
            answer = await ask(gateway, "POST", body=b"once")
            assert answer.status in {500, 502}
    assert _asked(pair) == 6


async def test_a_client_cannot_say_which_attempt_it_is(pair: list[Origin]) -> None:
    """X-Gateway-Attempt is ours alone."""
    async with gateway_before(pair) as gateway, connected(gateway.port) as client:
        await client.send(head("GET", fields=b"X-Gateway-Attempt: 7\r\n"))
        assert (await client.answer()).status == 200
    asked = [request for one in pair for request in one.asked("/case")]
    assert [request.value(b"X-Gateway-Attempt") for request in asked] == [None]


async def test_the_answer_of_the_only_endpoint_is_passed_on(pair: list[Origin]) -> None:
    """A 500 is not asked for again where the same endpoint would say it."""
    pair[0].default = refuse_by_status
    async with gateway_before(pair[:1], retry=GENEROUS) as gateway:
        answer = await ask(gateway)
        assert (answer.status, answer.body) == (500, b"broken")
    assert _asked(pair) == 1


async def test_when_all_fail_the_last_answer_is_passed_on(pair: list[Origin]) -> None:
    """Every endpoint is asked once, then the client hears the service's own words."""
    pair[0].default = pair[1].default = refuse_by_status
    async with gateway_before(pair, retry=GENEROUS) as gateway:
        answer = await ask(gateway)
        assert (answer.status, answer.body) == (500, b"broken")
    assert [len(one.asked("/case")) for one in pair] == [1, 1]


async def test_what_an_upstream_sheds_is_left_alone(pair: list[Origin]) -> None:
    """503 without Retry-After is passed on: whoever is overloaded wants no second request."""

    async def shed(exchange: Exchange) -> None:
        await exchange.answer(b"full", b"503 Service Unavailable")

    pair[0].default = pair[1].default = shed
    async with gateway_before(pair, retry=GENEROUS) as gateway:
        answer = await ask(gateway)
        assert (answer.status, answer.body) == (503, b"full")
    assert _asked(pair) == 1


async def test_retry_after_is_honoured_within_the_deadline(pair: list[Origin]) -> None:
    """503 with Retry-After is asked again when it says, if the request's deadline allows that; else passed on."""

    def once(first: list[int]) -> Callable[[Exchange], object]:
        async def behave(exchange: Exchange) -> None:
            if first:
                first.clear()
                await exchange.answer(b"full", b"503 Service Unavailable", b"Retry-After: 1\r\n")
            else:
                await echo(exchange)

        return behave

    first = [1]
    pair[0].default = pair[1].default = once(first)  # type: ignore[assignment]
    async with gateway_before(pair, retry=GENEROUS) as gateway, connected(gateway.port) as client:
        began = asyncio.get_running_loop().time()
        await client.send(head("GET", fields=b"X-Request-Timeout-Ms: 4000\r\n"))
        assert (await client.answer()).status == 200
        assert asyncio.get_running_loop().time() - began >= 0.99
        first.append(1)
        await client.send(head("GET", fields=b"X-Request-Timeout-Ms: 900\r\n"))
        assert (await client.answer()).status == 503


async def test_the_budget_bounds_what_is_sent(pair: list[Origin]) -> None:
    """With every attempt failing, upstreams see at most a fifth more than the clients' own requests, and the floor."""
    pair[0].default = pair[1].default = reset_at_once
    retry = {**QUICK, "attempts": 3, "budget": {"ratio": 0.2, "min_per_second": 1}}
    async with gateway_before(pair, retry=retry) as gateway:
        answers = [await ask(gateway) for _ in range(100)]
        found = gateway.snapshot().resilience["origin"]
    assert {answer.json["reason"] for answer in answers} == {"upstream_closed"}
    assert 110 <= _asked(pair) <= 125
    assert found.denied["budget"] > 50
    assert sum(found.attempts.values()) == _asked(pair)


async def test_the_deadline_holds_for_all_attempts_together(pair: list[Origin]) -> None:
    """Attempts share the request's time; what is left of it is told to each endpoint."""
    pair[0].default = pair[1].default = hang
    async with (
        gateway_before(pair, retry=GENEROUS, timeouts={"head": "200ms"}) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(head("GET", fields=b"X-Request-Timeout-Ms: 300\r\n"))
        answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (504, "request_timeout")
    left = sorted(int(one.value(b"X-Request-Timeout-Ms") or 0) for origin in pair for one in origin.asked("/case"))
    assert len(left) == 2
    assert left[0] <= 110
    assert left[1] <= 300


async def test_an_attempt_has_a_time_of_its_own(pair: list[Origin]) -> None:
    """After ``attempt_timeout`` without a head another endpoint is asked."""
    pair[0].default = hang
    retry = {**GENEROUS, "attempt_timeout": "50ms"}
    async with gateway_before(pair, retry=retry, timeouts={"head": "5s"}) as gateway:
        assert {(await ask(gateway)).status for _ in range(6)} == {200}
        assert gateway.snapshot().resilience["origin"].retries.get("upstream_head_timeout", 0) >= 1


async def test_a_large_body_is_not_kept_for_a_second_time(pair: list[Origin]) -> None:
    """A PUT above the replay buffer fails with its endpoint; nobody gets half of it."""

    async def cut(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)  # some of the body is under way
        exchange.wire.reset()

    pair[0].default = pair[1].default = cut
    async with gateway_before(pair, retry=GENEROUS) as gateway:
        answer = await ask(gateway, "PUT", body=b"x" * 300_000)
        assert answer.status == 502
    assert _asked(pair) == 1


async def test_a_client_that_leaves_between_attempts_is_the_end(pair: list[Origin]) -> None:
    """During the pause before a retry nothing is held but the client's own place; leaving gives it back."""
    pair[0].default = pair[1].default = reset_at_once
    slow = {**GENEROUS, "backoff": {"base": "5s", "max": "5s"}}
    async with gateway_before(pair[:1], retry=slow) as gateway:
        async with connected(gateway.port) as client:
            await client.send(head("GET"))
            await asyncio.sleep(0.1)
            client.reset()
        await gateway.settle()
    assert _asked(pair) == 1

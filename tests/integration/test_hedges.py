"""A second attempt beside a late first one: the first answer counts, the other is broken off."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.client import connected
from tests.support.origin import Exchange, Origin, echo
from tests.support.running import until
from tests.support.upstreams import QUICK, ask, gateway_before, hang, head, origins, refuse_by_status

HEDGE = {"after": "20ms"}
RETRY = {**QUICK, "attempts": 1, "budget": {"ratio": 1.0, "min_per_second": 100}}


@pytest.fixture
async def pair() -> object:
    async with origins(2) as some:
        yield some


async def test_the_other_endpoint_answers_for_one_that_hangs(pair: list[Origin]) -> None:
    """Every request is answered; the attempt that lost is abandoned at its endpoint."""
    pair[0].default = hang
    async with gateway_before(pair, retry=RETRY, hedge=HEDGE) as gateway:
        assert {(await ask(gateway)).status for _ in range(10)} == {200}
        found = gateway.snapshot().resilience["origin"]
    lost = pair[0].asked("/case")
    assert lost
    assert all(request.is_abandoned for request in lost)
    assert found.hedges["hedge"] == len(lost)
    assert [one.value(b"X-Gateway-Attempt") for one in pair[1].asked("/case")].count(b"2") == len(lost)


async def test_who_is_saved_by_hedges_is_asked_less(pair: list[Origin]) -> None:
    """An endpoint whose attempts are given up for a faster answer is slow, although none of them failed."""
    pair[0].default = hang
    patient = {"after": "1500ms"}  # much longer than the other needs, on any machine
    async with gateway_before(pair, retry=RETRY, hedge=patient, timeouts={"head": "20s"}) as gateway:
        assert {(await ask(gateway)).status for _ in range(40)} == {200}
    assert len(pair[0].asked("/case")) <= 8


async def test_a_first_attempt_in_time_is_not_hedged(pair: list[Origin]) -> None:
    """Nobody is asked twice when answers come before the hedge would."""
    async with gateway_before(pair, retry=RETRY, hedge={"after": "2s"}) as gateway:
        for _ in range(10):
            await ask(gateway)
        assert sum(gateway.snapshot().resilience["origin"].hedges.values()) == 0
    assert sum(len(one.requests) for one in pair) == 10


async def test_the_first_may_still_win(pair: list[Origin]) -> None:
    """When the first answers while the second is under way, the second is broken off."""

    async def late(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        await echo(exchange)

    pair[0].default = late
    pair[1].default = hang
    async with gateway_before(pair, retry=RETRY, hedge=HEDGE) as gateway:
        assert {(await ask(gateway)).status for _ in range(6)} == {200}
        await until(lambda: all(request.is_abandoned for request in pair[1].requests))
        hedges = gateway.snapshot().resilience["origin"].hedges
    assert hedges.get("first", 0) + hedges.get("hedge", 0) >= 6


async def test_a_bad_answer_of_the_second_does_not_win(pair: list[Origin]) -> None:
    """A second attempt that answers 500 is ignored while the first may still answer."""
    pair[1].default = refuse_by_status

    async def late(exchange: Exchange) -> None:
        await until(lambda: bool(pair[1].requests))
        await asyncio.sleep(0.05)
        await echo(exchange)

    pair[0].default = late
    async with gateway_before(pair, retry={**RETRY, "statuses": []}, hedge=HEDGE) as gateway:
        answers = [await ask(gateway) for _ in range(6)]
    firsts = sum(one.value(b"X-Gateway-Attempt") != b"2" for one in pair[0].asked("/case"))
    assert firsts > 0
    assert [answer.status for answer in answers].count(200) >= firsts


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_cannot_be_done_twice_is_not_hedged(pair: list[Origin], method: str) -> None:
    """POST waits for its one attempt."""
    pair[0].default = pair[1].default = hang
    async with gateway_before(pair, retry=RETRY, hedge=HEDGE, timeouts={"head": "200ms"}) as gateway:
        answer = await ask(gateway, method, body=b"once")
        assert answer.status == 504
    assert sum(len(one.requests) for one in pair) == 1


async def test_hedges_are_paid_from_the_retry_budget(pair: list[Origin]) -> None:
    """Without budget there is no second attempt."""
    pair[0].default = pair[1].default = hang
    none = {**RETRY, "budget": {"ratio": 0.0, "min_per_second": 0.0}}
    async with gateway_before(pair, retry=none, hedge=HEDGE, timeouts={"head": "200ms"}) as gateway:
        assert (await ask(gateway)).status == 504
    assert sum(len(one.requests) for one in pair) == 1


async def test_a_client_that_leaves_ends_both(pair: list[Origin]) -> None:
    """Both attempts are abandoned, nothing stays in flight."""
    pair[0].default = pair[1].default = hang
    async with gateway_before(pair, retry=RETRY, hedge=HEDGE, timeouts={"head": "5s"}) as gateway:
        async with connected(gateway.port) as client:
            await client.send(head("GET"))
            await until(lambda: sum(len(one.requests) for one in pair) == 2)
            client.reset()
        await gateway.settle()
        await until(lambda: all(request.is_abandoned for one in pair for request in one.requests))


async def test_a_connection_that_answered_a_hedge_whole_belongs_to_nobody(pair: list[Origin]) -> None:
    """It is free before the request that it saved hears of it, and keeps nothing of that."""
    pair[0].default = hang
    async with gateway_before(pair, retry=RETRY, hedge=HEDGE) as gateway:
        endpoint = gateway.plane._groups["origin"].endpoints[1]
        for _ in range(10):
            await ask(gateway)
            idle = [connection for connection in endpoint._idle if connection.is_open]
            assert idle
            assert [connection._attempt for connection in idle] == [None] * len(idle)
        assert gateway.snapshot().resilience["origin"].hedges["hedge"]

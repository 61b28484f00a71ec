"""Every refusal of admission can be read and understood from its response alone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import msgpack

from gateway.admission.patience import ENDURED
from gateway.admission.queue import Flow
from gateway.core.errors import REASONS
from gateway.proxy.sheds import _DETAILS
from tests.support.gate import GET, Hold, connect_all, limited, queued
from tests.support.plane import NAME, running_gateway
from tests.support.running import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.client import Answer, Client
    from tests.support.origin import Origin
    from tests.support.plane import RunningGateway

QUEUE = "upstreams.origin.queue"
ROUTES = {
    "all": {"upstream": "origin"},
    "high": {"upstream": "origin", "class": "high", "match": {"path": "/high"}},
    "low": {"upstream": "origin", "class": "low", "match": {"path": "/low"}},
}


class Scene:
    """A busy upstream with a limit of one, clients, and the one of them that is refused."""

    def __init__(self, gateway: RunningGateway, hold: Hold, clients: list[Client]) -> None:
        self.gateway = gateway
        self.gate = gateway.plane.gates["origin"]
        self.clients = clients
        self._hold = hold

    async def ask(self, number: int, path: str = "/case", fields: str = "", body: bytes = b"") -> Client:
        client = self.clients[number]
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        method = "POST" if body else "GET"
        await client.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}{length}\r\n".encode() + body)
        return client

    async def wait(self, number: int, *args: Any, **kwargs: Any) -> None:
        """Let a client wait in the queue."""
        before = queued(self.gateway)
        await self.ask(number, *args, **kwargs)
        await until(lambda: queued(self.gateway) > before)

    async def either(self, *numbers: int) -> Answer:
        """The first answer that any of these gets."""
        tasks = [asyncio.create_task(self.clients[number].answer()) for number in numbers]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return done.pop().result()

    def release(self) -> None:
        self._hold.release(len(self.clients))


async def _rate_limited(scene: Scene) -> Answer:
    return await (await scene.ask(1)).answer()


async def _limit_reached(scene: Scene) -> Answer:
    return await (await scene.ask(1)).answer()


async def _queue_full(scene: Scene) -> Answer:
    await scene.wait(1, "/high")
    return await (await scene.ask(2)).answer()


async def _queue_bytes_full(scene: Scene) -> Answer:
    await scene.wait(1, "/high", body=b"x" * 40_000)
    return await (await scene.ask(2, body=b"x" * 40_000)).answer()


async def _queue_share_full(scene: Scene) -> Answer:
    for number in (1, 2):
        await scene.ask(number, "/low")
    return await scene.either(1, 2)


async def _evicted(scene: Scene) -> Answer:
    await scene.wait(1, "/low")
    await scene.ask(2, "/high")
    return await scene.clients[1].answer()


async def _queue_delay(scene: Scene) -> Answer:
    scene.gate.queue.target = 0.05
    for _ in range(ENDURED + 1):  # it has lost patience
        scene.gate._patience.wait()
    await scene.wait(1)
    return await scene.clients[1].answer()


async def _queue_timeout(scene: Scene) -> Answer:
    await scene.wait(1)
    return await scene.clients[1].answer()


async def _deadline_on_arrival(scene: Scene) -> Answer:
    await scene.wait(1)
    scene.gate.rate = 1.0
    return await (await scene.ask(2, fields="X-Request-Timeout-Ms: 500\r\n")).answer()


async def _deadline_at_dispatch(scene: Scene) -> Answer:
    await scene.wait(1, fields="X-Request-Timeout-Ms: 3000\r\n")
    scene.gate.latency = 100.0
    scene.release()
    return await scene.clients[1].answer()


async def _self_protection(scene: Scene) -> Answer:
    scene.gate.last_band = 0
    return await (await scene.ask(1)).answer()


Play = tuple[str, "Callable[[Scene], Awaitable[Answer]]", dict[str, Any], str, Any, Any]
# reason, what happens, the queue's settings, the rule that is named, and what is observed and allowed: numbers, or None
# for what depends on the clock
PLAYS: tuple[Play, ...] = (
    ("rate_limited", _rate_limited, {}, "routes.all.rate_limits.each", None, 1),
    ("limit_reached", _limit_reached, {"mode": "off"}, "upstreams.origin.limit", 1, 1),
    ("queue_full", _queue_full, {"max_length": 1}, QUEUE, 1, 1),
    ("queue_bytes_full", _queue_bytes_full, {"max_bytes": "64KiB"}, QUEUE, 80_000, 65_536),
    ("queue_share_full", _queue_share_full, {"max_length": 4}, QUEUE, 1, 1),
    ("evicted", _evicted, {"max_length": 1}, QUEUE, 1, 1),
    ("queue_delay", _queue_delay, {}, QUEUE, None, 0.05),
    ("queue_timeout", _queue_timeout, {"max_wait": "100ms"}, QUEUE, None, 0.1),
    ("deadline_unreachable", _deadline_on_arrival, {}, QUEUE, 2.0, None),
    ("deadline_unreachable", _deadline_at_dispatch, {}, QUEUE, None, None),
    ("self_protection", _self_protection, {}, QUEUE, 1, 0),
)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play[1].__name__.strip("_"))
async def test_a_refusal_says_why_and_when_to_come_back(
    origin: Origin, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, title, detail, reason, rule, numbers, request id, Retry-After and Proxy-Status say one thing."""
    reason, happens, queue, rule, observed, allowed = play
    if reason != "queue_delay":  # or it depends on the machine whether what waits has come to stand
        monkeypatch.setattr(Flow, "is_standing", lambda _flow, _now: False)
    hold = Hold(origin)
    config = limited(1, **queue) | {
        "classes": {"high": {"band": 0}, "low": {"band": 2, "max_queue_share": 0.25 if "share" in reason else 1.0}},
        "routes": dict(ROUTES),
    }
    if reason == "rate_limited":
        config["routes"]["all"] = ROUTES["all"] | {
            "rate_limits": [{"name": "each", "key": "client_ip", "rate": "1/h", "burst": 1}]
        }
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        scene = Scene(gateway, hold, await connect_all(stack, gateway, 3))
        await scene.clients[0].send(GET)
        await until(lambda: hold.held == 1)
        answer = await happens(scene)
        told = answer.json
        meaning = REASONS[reason]
        assert answer.status == told["status"] == meaning.status == (429 if reason == "rate_limited" else 503)
        assert answer.value("Content-Type") == "application/problem+json"
        assert set(told) == {"title", "status", "reason", "detail", "rule", "observed", "allowed", "request_id"}
        assert (told["reason"], told["title"], told["rule"]) == (reason, meaning.title, rule)
        if observed is not None:
            assert told["observed"] == pytest.approx(observed, abs=0.05)
        if allowed is not None:
            assert told["allowed"] == allowed
        assert told["observed"] >= told["allowed"]
        assert f"{told['observed']:g}" in told["detail"] or f"{told['observed']:.0f}" in told["detail"]
        assert f"{told['allowed']:g}" in told["detail"] or f"{told['allowed']:.0f}" in told["detail"]
        assert told["request_id"] == answer.value("X-Request-Id")
        assert int(answer.value("Retry-After") or 0) >= 1
        assert answer.value("Retry-After") == str(int(answer.value("Retry-After") or 0))
        assert answer.value("Proxy-Status") == f'{NAME}; error={meaning.proxy_error}; details="{reason}"'
        (decision,) = gateway.plane.take_decisions()
        assert msgpack.encode((decision, gateway.plane.snapshot()))  # so that the control process can hear of it
        assert (decision.reason, decision.mode, decision.rule) == (reason, "enforce", rule)
        assert round(decision.observed, 3) == told["observed"]
        assert gateway.errors()[reason] == 1
        scene.release()
        assert (await scene.clients[0].answer()).status == 200
        for client in scene.clients:
            client.close()
        await gateway.settle()
        (line,) = [line for line in await gateway.lines() if told["request_id"] in line]
        assert reason in line


def test_no_refusal_is_left_out() -> None:
    """Every word that a gate or a quota may say is played above; those of breakers are played with them."""
    assert {reason for reason, *_ in PLAYS} == set(_DETAILS) - {"breaker_open", "no_endpoint"}  # those of breakers

"""Streams, tunnels, slow readers, slow uploads and buffered bodies under resets at any instant: every place comes back."""

from __future__ import annotations

import asyncio
import gc
import random
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from gateway.proxy.exchange import Exchange
from tests.support.client import connected
from tests.support.grammar import Ended
from tests.support.origin import running_origin
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.client import Client
    from tests.support.origin import Exchange as Asked
    from tests.support.plane import RunningGateway

LIMIT = 12
OK = b"HTTP/1.1 200 OK\r\n"


def _config(ports: list[int], **upstream: Any) -> dict[str, Any]:
    usual = {
        "endpoints": [f"http://127.0.0.1:{port}" for port in ports],
        "timeouts": {"connect": "300ms", "head": "600ms", "idle": "400ms", "tunnel": "400ms"},
        "limit": {"kind": "fixed", "initial": LIMIT, "streams": 3},
        "queue": {"max_length": 20, "max_wait": "100ms"},
        "retry": {
            "attempts": 3,
            "backoff": {"base": "1ms", "max": "30ms"},
            "budget": {"ratio": 1.0, "min_per_second": 100},
        },
        "hedge": {"after": "15ms"},
        "breaker": {"mode": "enforce", "min_calls": 5, "open_for": "100ms", "window": "1s"},
        **upstream,
    }
    return {
        "gateway": {"timeouts": {"head": "400ms", "body_idle": "400ms", "keepalive": "600ms"}},
        "upstreams": {"origin": usual},
        "routes": {
            "buffered": {"upstream": "origin", "match": {"path": "/buffered/*"}, "buffer_request": "100KiB"},
            "hurried": {"upstream": "origin", "match": {"path": "/hurried/*"}, "timeout": "150ms"},
        },
    }


class Moods:
    """Services that stream, switch protocols, read slowly, answer early, fail, or reset at a random instant."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    async def __call__(self, asked: Asked) -> None:
        rng = self._rng
        breaker = None
        if rng.random() < 0.3:
            loop = asyncio.get_running_loop()
            breaker = loop.call_later(rng.choice((0.0, 0.002, 0.03, 0.12, 0.25)), asked.wire.reset)
        try:
            await self._serve(asked)
        except (OSError, ValueError):
            pass  # reset meanwhile
        finally:
            if breaker is not None:
                breaker.cancel()

    async def _serve(self, asked: Asked) -> None:
        rng, request = self._rng, asked.request
        mood = rng.random()
        if mood < 0.08:
            await asked.answer(b"sorry", b"503 Service Unavailable", b"Retry-After: 1\r\n" if mood < 0.03 else b"")
            if not request.is_complete:
                asked.wire.close()
            return
        if mood < 0.14 and not request.is_complete:  # before the body is read
            await asked.answer(b"early", b"413 Content Too Large", b"Connection: close\r\n")
            asked.wire.close()
            return
        if request.value(b"Upgrade"):
            await self._tunnel(asked)
            return
        await (self._read_slowly(asked) if mood < 0.3 else asked.read_body())
        await asyncio.sleep(rng.choice((0.0, 0.0, 0.01, 0.05)))
        await self._answer(asked)

    async def _answer(self, asked: Asked) -> None:
        rng, request = self._rng, asked.request
        if b"/events" in request.target:
            await asked.wire.send(OK + b"Content-Type: text/event-stream\r\n\r\n")
            for _ in range(rng.randrange(1, 40)):
                if not await asked.wire.send(b"data: x\n\n"):
                    return
                await asyncio.sleep(0.01)
            asked.wire.close()
        elif b"/drip" in request.target:
            await asked.wire.send(OK + b"Content-Length: 20\r\n\r\n")
            for _ in range(20):
                if not await asked.wire.send(b"x"):
                    return
                await asyncio.sleep(0.02)
        elif b"/big" in request.target:
            await asked.answer(b"x" * 6_000_000)
        else:
            await asked.answer(b"x" * rng.choice((0, 10, 100_000)))

    async def _read_slowly(self, asked: Asked) -> None:
        await asyncio.sleep(0.15)
        await asked.read_body()

    async def _tunnel(self, asked: Asked) -> None:
        await asked.wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        for _ in range(self._rng.randrange(1, 30)):
            if not await asked.wire.send(b"y" * self._rng.choice((1, 1000, 300_000))):
                return
            await asyncio.sleep(0.005)
        self._rng.choice((asked.wire.half_close, asked.wire.close, asked.wire.reset))()
        with suppress(Ended, OSError, ValueError):
            await asked.wire.wait_for_end()


class Crowd:
    """Clients of every speed, each of which may be reset at a random instant."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self._port = port
        self._rng = rng
        self.answered = 0
        self._ways: list[Callable[[Client], Awaitable[None]]] = [
            self._asks, self._listens, self._listens, self._reads_slowly, self._switches, self._switches,
            self._uploads, self._uploads, self._trickles, self._trickles, self._is_buffered, self._is_buffered,
            self._hurries,
        ]  # fmt: skip

    async def rush(self, clients: int, rounds: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._one(rounds))

    async def _one(self, rounds: int) -> None:
        rng = self._rng
        for _ in range(rounds):
            async with connected(self._port, receive_buffer=rng.choice((0, 0, 4096))) as client:
                work = asyncio.ensure_future(rng.choice(self._ways)(client))
                if rng.random() < 0.35:
                    await asyncio.wait({work}, timeout=rng.choice((0.0, 0.003, 0.04, 0.11, 0.2, 0.35)))
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)
                    rng.choice((client.reset, client.half_close, client.close))()
                else:
                    await asyncio.wait({work}, timeout=8)
                    assert work.done(), "it would hang for ever"
                    if not work.cancelled() and isinstance(error := work.exception(), Exception):
                        assert isinstance(error, (Ended, OSError)), error

    async def _hear(self, client: Client, method: str = "GET") -> None:
        answer = await client.answer(method)
        self.answered += answer.is_complete

    async def _send(self, client: Client, method: bytes, path: bytes, fields: bytes = b"") -> None:
        await client.send(method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")

    async def _asks(self, client: Client) -> None:
        for _ in range(3):
            await self._send(client, b"GET", b"/plain")
            await self._hear(client)

    async def _listens(self, client: Client) -> None:
        await self._send(client, b"GET", self._rng.choice((b"/events", b"/drip")))
        await self._hear(client)

    async def _reads_slowly(self, client: Client) -> None:
        await self._send(client, b"GET", b"/big")
        await asyncio.sleep(self._rng.choice((0.05, 0.2, 0.3)))
        await self._hear(client)

    async def _switches(self, client: Client) -> None:
        await self._send(client, b"GET", b"/tunnel", b"Connection: upgrade\r\nUpgrade: x\r\n")
        await client.send(b"z" * self._rng.choice((0, 10, 500_000)))
        if self._rng.random() < 0.5:
            await asyncio.sleep(0.1)
            client.half_close()
        await client.rest(within=8)

    async def _upload(self, client: Client, path: bytes, piece: int, count: int, pause: float) -> None:
        method = self._rng.choice((b"PUT", b"POST"))
        is_chunked = self._rng.random() < 0.5
        size = piece * count
        fields = b"Transfer-Encoding: chunked\r\n" if is_chunked else b"Content-Length: %d\r\n" % size
        await self._send(client, method, path, fields)
        for _ in range(count):
            data = b"x" * piece
            if not await client.send(b"%x\r\n%b\r\n" % (piece, data) if is_chunked else data):
                return
            await asyncio.sleep(pause)
        if is_chunked:
            await client.send(b"0\r\n\r\n")
        await self._hear(client)

    async def _uploads(self, client: Client) -> None:
        await self._upload(client, b"/plain", 50_000, self._rng.randrange(1, 15), 0.0)

    async def _trickles(self, client: Client) -> None:
        count = self._rng.randrange(1, 20)
        await self._upload(client, b"/plain", self._rng.choice((7, 5_000)), count, 0.03)

    async def _is_buffered(self, client: Client) -> None:
        count = self._rng.randrange(1, 30)
        pause = self._rng.choice((0.0, 0.01))
        await self._upload(client, b"/buffered/x", self._rng.choice((100, 9_000)), count, pause)

    async def _hurries(self, client: Client) -> None:
        path = self._rng.choice((b"/hurried/x", b"/hurried/events", b"/hurried/drip"))
        if self._rng.random() < 0.5:
            await self._upload(client, path, 500, self._rng.randrange(1, 10), 0.03)
        else:
            await self._send(client, b"GET", path)
            await self._hear(client)


def _held(gateway: RunningGateway) -> dict[str, int]:
    """Everything that a request may hold, and that somebody holds now."""
    plane = gateway.plane
    gate, group = plane.gates["origin"], plane._groups["origin"]
    counters = plane.counters.upstream("origin")
    every = (*group.endpoints, *group.departed.endpoints)
    found = {
        "gate": gate.in_flight,
        "streams": gate.streams,
        "queued": gate.queue.count + gate.queue.size,
        "counted in flight": counters.in_flight,
        "counted streams": counters.streams,
        "waiting": counters.waiting.count,
        "endpoints": sum(one.in_flight for one in every),
        "streams of endpoints": sum(one.streams for one in every),
        "calls of breakers": sum(len(one.breaker._flying) + len(one.breaker._answering) for one in every),
        "calls of the upstream": len(group.breaker._flying) + len(group.breaker._answering),
        "calls of parts": sum(
            len(breaker._flying) + len(breaker._answering) for route in group.routes for _, breaker in route.breakers()
        ),
    }
    return {name: count for name, count in found.items() if count}


@pytest.mark.parametrize(
    ("seed", "endpoints", "upstream"),
    [
        (1, 3, {}),
        (104, 3, {}),
        (2, 1, {}),
        (3, 3, {"limit": {"kind": "fixed", "initial": 3}}),
        (4, 2, {"limit": {"kind": "fixed", "initial": LIMIT, "streams": 0}}),
        (5, 2, {"limit": {"kind": "adaptive"}}),
        (6, 3, {"breaker": {"mode": "off"}, "limit": {"kind": "fixed", "initial": LIMIT, "per": "endpoint"}}),
    ],
)
async def test_every_place_comes_back(seed: int, endpoints: int, upstream: dict[str, Any]) -> None:
    """After a storm nothing is held by anybody, no exchange is alive, and no total is below what it is the sum of."""
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        origins = [await stack.enter_async_context(running_origin()) for _ in range(endpoints)]
        for origin in origins:
            origin.default = Moods(rng)
        config = _config([origin.port for origin in origins], **upstream)
        async with running_gateway(origins[0].port, config) as gateway:
            crowd = Crowd(gateway.port, rng)
            await crowd.rush(clients=25, rounds=5)
            await gateway.settle()
            async with asyncio.timeout(5):
                while _held(gateway) or gateway.plane._to_look_at or gateway.plane.door.connections:
                    await asyncio.sleep(0.02)
            gc.collect()
            alive = [one for one in gc.get_objects() if type(one) is Exchange]
            assert alive == []
            assert crowd.answered
            load = gateway.snapshot().loads["origin"]
            assert load.service_time >= 0
            assert load.in_flight_time >= 0
            assert "internal_error" not in gateway.errors()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_drain_in_the_storm_leaves_nothing(seed: int) -> None:
    """The gateway drains and closes while places are given back and taken back."""
    rng = random.Random(seed)
    async with running_origin() as origin, running_origin() as other:
        origin.default = other.default = Moods(rng)
        async with running_gateway(origin.port, _config([origin.port, other.port])) as gateway:
            crowd = Crowd(gateway.port, rng)
            storm = asyncio.ensure_future(crowd.rush(clients=20, rounds=1))
            await asyncio.sleep(0.15)
            await gateway.plane.drain(0.2)
            await gateway.plane.close()
            assert _held(gateway) == {}
            with suppress(ExceptionGroup, OSError):
                await storm  # whom nobody let in
            gc.collect()
            assert [one for one in gc.get_objects() if type(one) is Exchange] == []

"""One gateway before one strict origin, and the verdicts that hostile tests pass on them.

Every admitted request is counted by the helper that expects it; at the end the origin must have seen
exactly those, nothing dirty, and innocent requests on fresh connections must get their own answers.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.core.errors import REASONS
from tests.support.client import Answer, Client, connected
from tests.support.origin import running_origin
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from tests.support.origin import Origin, Request
    from tests.support.plane import RunningGateway

HOST = b"Host: gateway.test\r\n"
REFUSALS = frozenset({*range(400, 500), 501, 505})
_PROXY_STATUS = re.compile(r'gateway-test; *error=[a-z_]+(; *[a-z-]+=("[^"\\]*"|[^";]+))*\Z')


def get(path: bytes = b"/case", fields: bytes = b"") -> bytes:
    """A GET; ``fields`` are whole lines with CRLF."""
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n"


def post(fields: bytes = b"", body: bytes = b"", path: bytes = b"/case") -> bytes:
    """A POST whose framing is in ``fields``."""
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def chunked(body: bytes, path: bytes = b"/case") -> bytes:
    """A POST with a chunked body as given, chunk by chunk."""
    return post(b"Transfer-Encoding: chunked\r\n", body, path)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n"


def assert_is_refusal(answer: Answer, statuses: Collection[int], reasons: Collection[str] = ()) -> None:
    """A refusal of ours: its status, problem+json with a known reason, Proxy-Status, and no echo of input.

    Every hostile value in the tests contains "evil", so that an echo is found.
    """
    assert answer.is_complete
    assert answer.status in statuses, f"{answer.status}: {answer.body[:300]!r}"
    assert answer.value("Content-Type") == "application/problem+json"
    reason = answer.json["reason"]
    assert reason in REASONS
    assert REASONS[reason].status == answer.status
    if reasons:
        assert reason in reasons
    assert _PROXY_STATUS.match(answer.value("Proxy-Status") or ""), answer.value("Proxy-Status")
    assert b"evil" not in answer.body.lower()
    assert all(b"evil" not in value.lower() for _, value in answer.fields)


class World:
    """The gateway, the origin, and how many requests the origin should have seen."""

    def __init__(self, origin: Origin, gateway: RunningGateway) -> None:
        self.origin = origin
        self.gateway = gateway
        self.expected = 0
        self._victims = 0

    def client(self, *, receive_buffer: int = 0) -> AbstractAsyncContextManager[Client]:
        """A client of the gateway."""
        return connected(self.gateway.port, receive_buffer=receive_buffer)

    async def refused(
        self, raw: bytes, statuses: Collection[int] = REFUSALS, reasons: Collection[str] = (), method: str = "GET"
    ) -> Answer:
        """Send it: it must be refused before anything is forwarded, and the connection closed."""
        before = len(self.origin.requests)
        async with self.client() as client:
            await client.send(raw)
            answer = await client.answer(method)
            if method == "HEAD":
                assert answer.status in statuses
            else:
                assert_is_refusal(answer, statuses, reasons)
            assert answer.value("Connection") == "close"
            await client.ending()
        assert len(self.origin.requests) == before, f"forwarded {self.origin.requests[-1]}"
        return answer

    async def turned_away(
        self, raw: bytes, statuses: Collection[int] = REFUSALS, reasons: Collection[str] = ()
    ) -> Answer:
        """Send a request whose framing is beyond doubt: it must be refused before anything is forwarded.

        The connection may live on; then the next request on it gets its own answer.
        """
        before = len(self.origin.requests)
        async with self.client() as client:
            await client.send(raw)
            answer = await client.answer()
            assert_is_refusal(answer, statuses, reasons)
            assert len(self.origin.requests) == before, f"forwarded {self.origin.requests[-1]}"
            if answer.value("Connection") == "close":
                await client.ending()
            else:
                await client.send(get(b"/next"))
                assert (await client.answer()).json["target"] == "/next"
                self.expected += 1
        return answer

    async def broken_off(self, raw: bytes, statuses: Collection[int] = REFUSALS) -> Answer:
        """Send it: it must be refused; the origin may have got the beginning, but never an end to it."""
        before = len(self.origin.requests)
        async with self.client() as client:
            await client.send(raw)
            answer = await client.answer()
            assert_is_refusal(answer, statuses)
            assert answer.value("Connection") == "close"
            await client.ending()
        await self.gateway.settle()
        await asyncio.sleep(0.01)
        begun = self.origin.requests[before:]
        assert len(begun) <= 1
        assert not any(request.is_complete for request in begun), "a broken body was ended cleanly"
        self.expected += len(begun)
        return answer

    async def admitted(self, raw: bytes, method: str = "GET") -> tuple[Answer, Request]:
        """Send it: it must reach the origin once and get an answer that is complete."""
        before = len(self.origin.requests)
        async with self.client() as client:
            await client.send(raw)
            answer = await client.answer(method)
        assert len(self.origin.requests) == before + 1, f"{answer.status} {answer.body[:300]!r}"
        assert answer.is_complete
        self.expected += 1
        return answer, self.origin.requests[-1]

    async def refused_or_admitted(self, raw: bytes, statuses: Collection[int] = REFUSALS) -> Request | None:
        """Send it: it must be refused, or reach the origin once and clean; the request in that case."""
        before = len(self.origin.requests)
        async with self.client() as client:
            await client.send(raw)
            answer = await client.answer()
            if answer.status != 200:
                assert_is_refusal(answer, statuses)
        begun = self.origin.requests[before:]
        assert len(begun) == (answer.status == 200)
        self.expected += len(begun)
        return begun[0] if begun else None

    async def victim(self) -> None:
        """An innocent request on a fresh connection must get its own answer."""
        self._victims += 1
        name = b"victim-%d" % self._victims
        async with self.client() as client:
            await client.send(b"GET /victim?%b HTTP/1.1\r\nHost: victim.test\r\nX-Case: %b\r\n\r\n" % (name, name))
            answer = await client.answer()
            assert answer.status == 200, f"the victim got {answer.status} {answer.body[:300]!r}"
            assert answer.json == {
                "id": name.decode(),
                "method": "GET",
                "target": f"/victim?{name.decode()}",
                "length": 0,
            }
            assert await client.is_silent(0.005), "the victim got more than its answer"
        self.expected += 1

    async def verify(self) -> None:
        """Nobody else was hurt: two victims, nothing dirty, nothing extra."""
        await self.gateway.settle()
        await self.victim()
        await self.victim()
        await asyncio.sleep(0.005)
        assert self.origin.dirty == []
        assert self.origin.asked("/smuggled") == []
        assert len(self.origin.requests) == self.expected, [(r.method, r.target) for r in self.origin.requests]


@asynccontextmanager
async def running_world(config: str | Mapping[str, Any] | None = None) -> AsyncIterator[World]:
    """A world that is verified when the block ends well."""
    async with running_origin() as origin, running_gateway(origin.port, config) as gateway:
        world = World(origin, gateway)
        yield world
        await world.verify()

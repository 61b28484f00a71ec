"""A request's deadline: the route's timeout or the client's own, whichever is sooner; what is left goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import ends
from tests.support.client import connected
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Origin

ROUTE = {"routes": {"all": {"upstream": "origin", "timeout": "10s"}}}
SLOW = {"upstreams": {"origin": {"timeouts": {"head": "20s"}}}}


def _get(fields: str) -> bytes:
    return f"GET /case HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ("", 10_000),
        ("X-Request-Timeout-Ms: 2000\r\n", 2000),
        ("X-Request-Timeout-Ms: 90000\r\n", 10_000),
        ("X-Request-Timeout-Ms: -5\r\n", 10_000),
        ("grpc-timeout: 3S\r\n", 3000),
        ("grpc-timeout: 500m\r\nX-Request-Timeout-Ms: 900\r\n", 500),
        ("X-Request-Deadline: {soon}\r\n", 4000),
    ],
)
async def test_what_is_left_is_forwarded_and_never_extended(origin: Origin, fields: str, most: int) -> None:
    """The upstream hears once how many milliseconds are left, at most what the client and the route give."""
    async with running_gateway(origin.port, ROUTE) as gateway, connected(gateway.port) as client:
        await client.send(_get(fields.format(soon=f"{time.time() + 4:.3f}")))
        assert (await client.answer()).status == 200
    request = origin.asked("/case")[0]
    left = int(request.value(b"X-Request-Timeout-Ms") or 0)
    assert 0 < left <= most
    if "grpc-timeout" in fields:
        assert request.value(b"grpc-timeout") == b"%dm" % left


async def test_without_a_deadline_nothing_is_invented(origin: Origin) -> None:
    """No timeout on the route and none from the client: the upstream hears of none."""
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(_get(""))
        assert (await client.answer()).status == 200
    assert origin.asked("/case")[0].values(b"X-Request-Timeout-Ms") == []


@pytest.mark.parametrize(
    "fields", ["X-Request-Timeout-Ms: 0\r\n", "grpc-timeout: 0S\r\n", "X-Request-Deadline: 1000000000\r\n"]
)
async def test_a_deadline_that_has_passed_is_said_at_once(origin: Origin, fields: str) -> None:
    """Nothing is sent upstream for a client that cannot get its answer in time."""
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(_get(fields))
        answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (504, "request_timeout")
    assert not origin.requests


async def test_the_clients_own_deadline_ends_a_request(origin: Origin) -> None:
    """An upstream that does not answer costs the client what it said, not the upstream's timeout."""
    origin.on("/case", ends("hang"))
    async with running_gateway(origin.port, SLOW) as gateway, connected(gateway.port) as client:
        await client.send(_get("X-Request-Timeout-Ms: 100\r\n"))
        answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (504, "request_timeout")

"""One Host, and one that is an authority (RFC 9110 §7.2)."""

from __future__ import annotations

import pytest

from tests.support import corpus
from tests.support.world import World, get


@pytest.mark.parametrize("raw", corpus.HOSTS.values(), ids=corpus.HOSTS)
async def test_a_host_that_is_not_one_authority_is_refused(world: World, raw: bytes) -> None:
    await world.refused(raw, {400})


@pytest.mark.parametrize(
    "host",
    [
        b"gateway.test",
        b"GATEWAY.test",
        b"gateway.test:8080",
        b"127.0.0.1",
        b"[::1]",
        b"[2001:db8::1]:80",
        b"a-b.c",
        b"gateway.test.",
    ],
)
async def test_a_good_host_is_forwarded_untouched(world: World, host: bytes) -> None:
    _, request = await world.admitted(b"GET /case HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert request.value(b"Host") == host


@pytest.mark.parametrize(
    "twin", [b"X_Forwarded_Host: evil.test\r\n", b"HOST_: evil.test\r\n", b"X-Host: evil.test\r\n"], ids=repr
)
async def test_other_names_do_not_become_the_host(world: World, twin: bytes) -> None:
    _, request = await world.admitted(get(fields=twin))
    assert request.value(b"Host") == b"gateway.test"


MANY_HOSTS = """
[routes.all.match]
hosts = ["victim.test", "shop.test", "*.shop.test"]
"""


@pytest.mark.gateway(MANY_HOSTS)
@pytest.mark.parametrize("host", [b"shop.test", b"SHOP.test", b"shop.test:80", b"a.shop.test", b"shop.test."])
async def test_the_same_host_in_another_spelling_selects_the_same_route(world: World, host: bytes) -> None:
    answer, _ = await world.admitted(b"GET /case HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert answer.status == 200


@pytest.mark.gateway(MANY_HOSTS)
@pytest.mark.parametrize("host", [b"evil.test", b"shop.test.evil.test", b"evilshop.test", b"shoptest", b".shop.test"])
async def test_another_host_selects_no_route(world: World, host: bytes) -> None:
    async with world.client() as client:
        await client.send(b"GET /case HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert (await client.answer()).status in {400, 404, 421}

"""Line ends, names, controls and versions (RFC 9112 §2.2, §2.3, §5)."""

from __future__ import annotations

import pytest

from tests.support import corpus
from tests.support.world import World, get


@pytest.mark.parametrize("raw", corpus.LINES.values(), ids=corpus.LINES)
async def test_a_malformed_line_is_refused(world: World, raw: bytes) -> None:
    await world.refused(raw)


@pytest.mark.parametrize("raw", corpus.VERSIONS.values(), ids=corpus.VERSIONS)
async def test_another_version_is_refused(world: World, raw: bytes) -> None:
    await world.refused(raw, {400, 408, 501, 505})


async def test_http_1_0_is_served_and_closed(world: World) -> None:
    async with world.client() as client:
        await client.send(b"GET /case HTTP/1.0\r\nHost: gateway.test\r\n\r\n")
        assert (await client.answer()).status == 200
        await client.ending()
    world.expected += 1


async def test_http_1_0_without_host_never_reaches_the_origin_dirty(world: World) -> None:
    """The origin speaks HTTP/1.1 and must get a Host; refusing is fine."""
    await world.refused_or_admitted(b"GET /case HTTP/1.0\r\n\r\n")


async def test_an_empty_line_before_the_request_is_skipped_or_refused(world: World) -> None:
    """RFC 9112 §2.2 asks servers to ignore one; it is never forwarded."""
    await world.refused_or_admitted(b"\r\n" + get())


async def test_a_flood_of_empty_lines_ends(world: World) -> None:
    async with world.client() as client:
        await client.send(b"\r\n" * 50_000)
        await client.send(b"\r\n" * 50_000)
        await client.rest()

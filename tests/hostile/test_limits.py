"""Everything that a client can make large has a bound and a reason word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.running import PATIENCE
from tests.support.world import HOST, World, assert_is_refusal, get, post

CASES = {
    "100 kB field": (get(fields=b"X-A: " + b"evil" * 25_000 + b"\r\n"), 431, "head_too_large"),
    "64 kB Cookie": (get(fields=b"Cookie: " + b"evil" * 16_000 + b"\r\n"), 431, "head_too_large"),
    "100 kB name": (get(fields=b"X" * 100_000 + b": evil\r\n"), 431, "head_too_large"),
    "10,000 fields": (get(fields=b"X-A: evil\r\n" * 10_000), 431, "head_too_large"),
    "60 fields": (get(fields=b"X-A: evil\r\n" * 60), 431, "too_many_headers"),
    "60 short fields": (get(fields=b"a:\r\n" * 60), 431, "too_many_headers"),
    "5 kB target": (get(b"/" + b"evil" * 1250), 414, "target_too_long"),
    "5 kB query": (get(b"/?" + b"evil" * 1250), 414, "target_too_long"),
    "100 kB target": (get(b"/" + b"evil" * 25_000), 414, "target_too_long"),
    "body over the limit": (post(b"Content-Length: 1048577\r\n"), 413, "body_too_large"),
    "body of 10^14 bytes": (post(b"Content-Length: 100000000000000\r\n"), 413, "body_too_large"),
}


@pytest.mark.parametrize(("raw", "status", "reason"), CASES.values(), ids=CASES)
async def test_too_much_is_refused_with_its_reason(world: World, raw: bytes, status: int, reason: str) -> None:
    await world.refused(raw, {status}, {reason})


@pytest.mark.parametrize(
    ("raw", "limit"),
    [
        (get(fields=b"X-A: " + b"evil" * 25_000 + b"\r\n"), 16_384),
        (get(b"/" + b"evil" * 1250), 4096),
        (post(b"Content-Length: 1048577\r\n"), 1_048_576),
    ],
    ids=["head", "target", "body"],
)
async def test_every_limit_is_said_in_the_same_words(world: World, raw: bytes, limit: int) -> None:
    """A refusal says how much is taken, in bytes, whichever check has found it."""
    async with world.client() as client:
        await client.send(raw)
        assert (await client.answer()).json["detail"] == f"more than {limit} bytes"


async def test_a_head_just_within_the_limits_passes(world: World) -> None:
    """45 fields and some 15 KiB: what is allowed is allowed."""
    answer, request = await world.admitted(
        get(b"/" + b"a" * 4000, b"".join(b"X-%d: %b\r\n" % (n, b"b" * 230) for n in range(45)))
    )
    assert answer.status == 200
    assert request.value(b"X-44") == b"b" * 230


@pytest.mark.parametrize(
    "start",
    [b"GET /", b"GET / HTTP/1.1\r\n" + HOST + b"X-A: ", b"GET / HTTP/1.1\r\nX"],
    ids=["target", "value", "name"],
)
async def test_a_line_without_an_end_is_bounded_when_it_drips(world: World, start: bytes) -> None:
    """CVE-2026-54277: byte by byte must cost neither memory nor a rescan of everything for every byte."""
    async with world.client() as client:
        await client.send(start)
        for _ in range(400):
            if not await client.send(b"e" * 64):
                break
        answer = await client.answer()
        assert_is_refusal(answer, {408, 414, 431})
        await client.ending()


def _resident() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS:"))


async def test_pipelined_requests_behind_a_slow_one_do_not_pile_up(world: World) -> None:
    """CVE-2026-54273: reading stops while a request is under way, so the sender is held up, not our memory."""

    async def hang(exchange: object) -> None:
        await exchange.wait_until_abandoned()  # type: ignore[attr-defined]

    world.origin.on("/case", hang)
    before = _resident()
    async with world.client() as client:
        await client.send(get())
        sending = asyncio.ensure_future(client.wire.send(get(b"/smuggled") * 400_000))
        await asyncio.sleep(0.25)
        # 17 MB were on offer: twice for the sender's own copy, and no third time in the gateway.
        assert not sending.done()
        assert _resident() - before < 30 * 1024 * 1024
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        client.reset()
    world.expected += 1


@pytest.mark.gateway({"gateway": {"limits": {"connections": 20}}})
async def test_a_flood_of_connections_is_shed_and_forgotten(world: World) -> None:
    """More than 20 are refused with 503 or wait; when they are gone there is room again."""
    clients = []
    for _ in range(30):
        client = world.client()
        clients.append((client, await client.__aenter__()))
    await asyncio.sleep(0.05)
    served, shed = 0, 0
    for _, client in clients:
        await client.send(get())
        try:
            answer = await client.answer(within=0.5)
        except TimeoutError:
            continue
        if answer.status == 200:
            served += 1
        else:
            assert_is_refusal(answer, {503}, {"connection_limit"})
            await client.ending()
            shed += 1
    assert served == 20
    assert len(world.origin.requests) == 20
    for context, _ in clients:
        await context.__aexit__(None, None, None)
    world.expected += 20
    await asyncio.sleep(0.05)


@pytest.mark.gateway({"gateway": {"limits": {"connections_per_client": 5}}})
async def test_one_client_cannot_take_all_connections(world: World) -> None:
    clients = []
    for _ in range(8):
        context = world.client()
        clients.append((context, await context.__aenter__()))
    statuses = []
    for _, client in clients:
        await client.send(get())
        answer = await client.answer()
        statuses.append(answer.status)
        if answer.status != 200:
            assert_is_refusal(answer, {429}, {"client_connection_limit"})
    for context, _ in clients:
        await context.__aexit__(None, None, None)
    assert sorted(statuses) == [200] * 5 + [429] * 3
    world.expected += 5
    await asyncio.sleep(0.05)


async def test_empty_lines_before_a_request_are_bounded_as_a_head_is(world: World) -> None:
    """RFC 9112 §2.2 lets us ignore some: more of them than a head may have bytes are refused, and cost one look each."""
    async with world.client() as client:
        await client.send(b"\r\n" * 100 + get())
        assert (await client.answer()).status == 200
        await client.wire.send(b"\r\n" * 20_000)
        assert_is_refusal(await client.answer(), {431}, {"head_too_large"})
    world.expected += 1


@pytest.mark.gateway(
    {"gateway": {"limits": {"connections": 6, "connections_per_client": 4}, "timeouts": {"head": "20s"}}}
)
async def test_who_was_turned_away_is_neither_counted_nor_given_back(world: World) -> None:
    """Refusals by either limit leave a client's count at what it has open."""
    port, door = world.gateway.port, world.gateway.plane.door

    async def dial(address: str) -> tuple[asyncio.StreamWriter, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        writer.write(get() + b"GET /")  # the next one has begun, so it is not idle
        return writer, (await reader.readline())[9:12]

    async def left(*writers: asyncio.StreamWriter, then: int) -> None:
        for writer in writers:
            writer.close()
        async with asyncio.timeout(PATIENCE):
            while len(door.connections) != then:
                await asyncio.sleep(0.005)

    mine = [await dial("127.0.0.1") for _ in range(4)]
    refused, status = await dial("127.0.0.1")
    assert (status, door._per_client) == (b"429", {"127.0.0.1": 4})
    await left(refused, then=4)
    others = [await dial("127.0.0.2") for _ in range(2)]
    assert [status for _, status in mine + others] == [b"200"] * 6
    for _ in range(4):  # no place for anybody
        refused, status = await dial("127.0.0.1")
        assert status == b"503"
        await left(refused, then=6)
    await left(*(writer for writer, _ in others), then=4)
    refused, status = await dial("127.0.0.1")
    assert (status, door._per_client) == (b"429", {"127.0.0.1": 4})
    await left(refused, *(writer for writer, _ in mine), then=0)
    assert door._per_client == {}
    world.expected += 6

"""What concerns one connection stays on it, and nobody can nominate away what we add (RFC 9110 §7.6.1)."""

from __future__ import annotations

import pytest

from tests.support.behaviours import answers
from tests.support.world import World, get, post

HOP_BY_HOP = [
    b"Keep-Alive: timeout=5, evil",
    b"Proxy-Connection: keep-alive",
    b"TE: gzip, evil",
    b"TE: trailers, deflate;q=0.5",
    b"Trailer: X-Evil",
    b"Upgrade: evil",
    b"HTTP2-Settings: evil",
]


@pytest.mark.parametrize("line", HOP_BY_HOP, ids=repr)
async def test_a_hop_by_hop_field_of_a_request_stays_here(world: World, line: bytes) -> None:
    _, request = await world.admitted(get(fields=line + b"\r\n"))
    name = line.partition(b":")[0]
    assert set(request.values(name)) <= ({b"trailers"} if name == b"TE" else set())


@pytest.mark.parametrize(
    "line", [b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"Trailer: X-Evil", b"TE: x", b"Upgrade: evil", b"HTTP2-Settings: x"],
    ids=repr,
)  # fmt: skip
async def test_a_hop_by_hop_field_of_a_response_stays_here(world: World, line: bytes) -> None:
    world.origin.on("/case", answers(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 2\r\n\r\nok"))
    answer, _ = await world.admitted(get())
    assert answer.body == b"ok"
    assert answer.values(line.partition(b":")[0].decode()) == []


async def test_fields_of_proxy_authentication_are_end_to_end_for_us(world: World) -> None:
    """RFC 9110 §11.7: they are not hop-by-hop by themselves, and we are not the proxy they mean."""
    world.origin.on(
        "/case",
        answers(
            b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\nProxy-Authentication-Info: a=b\r\nContent-Length: 0\r\n\r\n"
        ),
    )
    answer, request = await world.admitted(get(fields=b"Proxy-Authorization: Basic abc\r\n"))
    assert request.value(b"Proxy-Authorization") == b"Basic abc"
    assert (answer.value("Proxy-Authenticate"), answer.value("Proxy-Authentication-Info")) == ("Basic", "a=b")


async def test_a_nominated_field_stays_here_in_both_directions(world: World) -> None:
    """nginx and HAProxy forward them."""
    world.origin.on(
        "/case",
        answers(
            b"HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: evil\r\nX-Kept: y\r\nContent-Length: 2\r\n\r\nok"
        ),
    )
    answer, request = await world.admitted(
        get(fields=b"X-Hop: evil\r\nX-Kept: y\r\nConnection: x-hop\r\nconnection: X-Other\r\nX-OTHER: evil\r\n")
    )
    assert (request.values(b"X-Hop"), request.values(b"X-Other"), request.value(b"X-Kept")) == ([], [], b"y")
    assert (answer.values("X-Hop"), answer.value("X-Kept")) == ([], "y")


MANAGED = [b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"X-Request-Id", b"Forwarded", b"X-Real-IP"]


@pytest.mark.parametrize("name", MANAGED, ids=repr)
@pytest.mark.parametrize("value", [b"close, %b", b"%b", b"keep-alive,%b ,"], ids=repr)
async def test_a_nomination_takes_nothing_of_ours_away(world: World, name: bytes, value: bytes) -> None:
    """CVE-2021-32813, CVE-2024-45410, CVE-2025-48865."""
    _, plain = await world.admitted(get())
    request = await world.refused_or_admitted(
        get(fields=b"Connection: " + value.replace(b"%b", name) + b"\r\n" + name + b": 6.6.6.6\r\n")
    )
    if request is not None:
        assert len(request.values(name)) == len(plain.values(name))
        assert b"6.6.6.6" not in b"".join(request.values(name))


async def test_a_nominated_via_still_tells_of_us(world: World) -> None:
    """Whether the hops before us are kept is no matter of safety; that ours is there is."""
    request = await world.refused_or_admitted(get(fields=b"Connection: Via\r\nVia: 1.1 fred\r\n"))
    if request is not None:
        assert request.values(b"Via")[-1].endswith(b"1.1 gateway-test (all)")


@pytest.mark.parametrize(
    "name",
    [b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Date", b"Max-Forwards"],
    ids=repr,
)
async def test_a_nomination_does_not_break_framing_or_routing(world: World, name: bytes) -> None:
    request = await world.refused_or_admitted(post(b"Connection: " + name + b"\r\nContent-Length: 5\r\n", b"abcde"))
    if request is not None:
        assert bytes(request.body) == b"abcde"
        assert request.value(b"Host") == b"gateway.test"


async def test_a_nominated_coding_does_not_break_framing(world: World) -> None:
    raw = post(b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n\r\n")
    request = await world.refused_or_admitted(raw)
    if request is not None:
        assert bytes(request.body) == b"abcde"


@pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding", b"Date", b"Content-Type"], ids=repr)
async def test_a_response_cannot_nominate_its_framing_away(world: World, name: bytes) -> None:
    world.origin.on("/case", answers(b"HTTP/1.1 200 OK\r\nConnection: " + name + b"\r\nContent-Length: 2\r\n\r\nok"))
    async with world.client() as client:
        await client.send(get())
        answer = await client.answer()
    assert answer.status in {200, 502}
    assert answer.is_complete
    if answer.status == 200:
        assert answer.body == b"ok"
    world.expected += 1


@pytest.mark.parametrize("name", [b"Authorization", b"Cookie", b"Accept", b"X-Case"], ids=repr)
async def test_a_nominated_end_to_end_field_stays_here(world: World, name: bytes) -> None:
    request = await world.refused_or_admitted(get(fields=name + b": evil\r\nConnection: " + name.lower() + b"\r\n"))
    if request is not None:
        assert request.values(name) == []


TWINS = [
    b"X_Forwarded_For", b"X_FORWARDED_FOR", b"x-forwarded_for", b"X_Forwarded_Host", b"X_Forwarded_Proto", b"X_Forwarded_Port",
    b"X_Forwarded_Prefix", b"X_Real_IP", b"X_Request_Id", b"Content_Length", b"Transfer_Encoding", b"Max_Forwards", b"HTTP2_Settings",
    b"Keep_Alive", b"Proxy_Connection",
]  # fmt: skip


@pytest.mark.parametrize("name", TWINS, ids=repr)
async def test_an_underscore_twin_of_a_managed_field_goes_nowhere(world: World, name: bytes) -> None:
    """CVE-2025-64484: CGI-style servers read both as one."""
    request = await world.refused_or_admitted(get(fields=name + b": 6\r\n"))
    if request is not None:
        assert request.values(name) == []


async def test_an_underscore_elsewhere_is_nobodys_twin(world: World) -> None:
    _, request = await world.admitted(get(fields=b"X_Custom_Name: y\r\n"))
    assert request.value(b"X_Custom_Name") == b"y"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_keep_alive_and_close_are_about_this_connection(world: World, version: bytes) -> None:
    async with world.client() as client:
        await client.send(b"GET /case HTTP/" + version + b"\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 200
        assert b"close" not in b"".join(world.origin.requests[-1].values(b"Connection"))
        await client.send(b"GET /case HTTP/" + version + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
        if version == b"1.1" or await client.wire.has_more():
            assert (await client.answer()).value("Connection") == "close"
            await client.ending()
    world.expected += len(world.origin.requests)
    assert {request.connection for request in world.origin.requests} == {0}

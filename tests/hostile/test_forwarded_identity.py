"""Who the client is: believed from trusted proxies only, replaced otherwise (RFC 7239 §8.1)."""

from __future__ import annotations

import json

import pytest

from tests.support.world import World, get

TRUSTING = {"gateway": {"client_ip": {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]}}}
FORGED = [
    b"X-Forwarded-For: 6.6.6.6",
    b"X-Forwarded-For: 6.6.6.6, 127.0.0.1",
    b"x-forwarded-for: 6.6.6.6\r\nX-FORWARDED-FOR: 6.6.6.6",
    b"X-Real-IP: 6.6.6.6",
    b"Forwarded: for=6.6.6.6;host=6.6.6.6;proto=https",
    b"X-Forwarded-Host: 6.6.6.6",
    b"X-Forwarded-Proto: 6.6.6.6",
    b"X-Forwarded-Port: 6.6.6.6",
    b"X-Forwarded-Prefix: /6.6.6.6",
]


@pytest.mark.parametrize("lines", FORGED, ids=repr)
async def test_what_a_stranger_says_about_itself_is_thrown_away(world: World, lines: bytes) -> None:
    _, plain = await world.admitted(get())
    _, request = await world.admitted(get(fields=lines + b"\r\n"))
    assert all(b"6.6.6.6" not in value for _, value in request.fields)
    assert sorted(name.lower() for name, _ in request.fields) == sorted(name.lower() for name, _ in plain.fields)


async def test_the_origin_is_told_who_asked(world: World) -> None:
    _, request = await world.admitted(get())
    assert request.value(b"X-Forwarded-For") == b"127.0.0.1"
    assert request.value(b"X-Forwarded-Proto") == b"http"
    assert request.value(b"X-Forwarded-Host") in {b"gateway.test", None}


def _chain(values: list[bytes]) -> list[bytes]:
    return [part.strip() for part in b",".join(values).split(b",")]


@pytest.mark.gateway(TRUSTING)
@pytest.mark.parametrize(
    "lines",
    [b"X-Forwarded-For: 203.0.113.9, 10.1.1.1", b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.1.1.1"],
    ids=repr,
)
async def test_a_trusted_proxy_is_believed_and_appended(world: World, lines: bytes) -> None:
    _, request = await world.admitted(get(fields=lines + b"\r\n"))
    assert _chain(request.values(b"X-Forwarded-For")) == [b"203.0.113.9", b"10.1.1.1", b"127.0.0.1"]


async def _client_in_log(world: World) -> str:
    found = [json.loads(line) for line in await world.gateway.lines()]
    return str(next(line["client"] for line in found if line.get("target") == "/case"))


CHAINS = {
    b"203.0.113.9": "203.0.113.9",
    b"6.6.6.6, 203.0.113.9": "203.0.113.9",
    b"6.6.6.6, 203.0.113.9, 10.1.1.1": "203.0.113.9",
    b"6.6.6.6,203.0.113.9:4711,10.1.1.1": "203.0.113.9",
    b"6.6.6.6, 2001:db8::9": "2001:db8::9",
    b"6.6.6.6, [2001:db8::9]:443": "2001:db8::9",
    b"10.1.1.1": "10.1.1.1",
}


@pytest.mark.gateway(TRUSTING)
@pytest.mark.parametrize(("value", "client"), CHAINS.items(), ids=map(repr, CHAINS))
async def test_the_chain_is_read_from_the_right(world: World, value: bytes, client: str) -> None:
    """The nearest address that is not a trusted proxy is the client, whatever stands left of it."""
    await world.admitted(get(fields=b"X-Forwarded-For: " + value + b"\r\n"))
    assert await _client_in_log(world) == client


async def test_a_strangers_chain_does_not_reach_the_log(world: World) -> None:
    await world.admitted(get(fields=b"X-Forwarded-For: 203.0.113.9\r\n"))
    assert await _client_in_log(world) == "127.0.0.1"


@pytest.mark.gateway(TRUSTING)
@pytest.mark.parametrize(
    "value",
    [b"", b",", b",,,", b"unknown", b"_hidden", b'"evil"', b"evil", b"999.999.999.999", b"1.2.3", b"::", b"[::1", b"1.2.3.4:99999", b"6.6.6.6, evil",
     b"fe80::1%25eth0", b"\xff\xfe", b" , 203.0.113.9", b"203.0.113.9, "],
    ids=repr,
)  # fmt: skip
async def test_garbage_in_the_chain_hurts_nobody(world: World, value: bytes) -> None:
    answer, request = await world.admitted(get(fields=b"X-Forwarded-For: " + value + b"\r\n"))
    assert answer.status == 200
    assert _chain(request.values(b"X-Forwarded-For"))[-1] == b"127.0.0.1"
    assert "evil" not in await _client_in_log(world)


@pytest.mark.gateway(TRUSTING)
async def test_a_very_long_chain_is_bounded(world: World) -> None:
    await world.refused_or_admitted(get(fields=b"X-Forwarded-For: " + b"10.0.0.1," * 1500 + b"10.0.0.1\r\n"))


@pytest.mark.gateway(TRUSTING)
async def test_fields_of_a_trusted_proxy_pass(world: World) -> None:
    _, request = await world.admitted(
        get(fields=b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\n")
    )
    assert request.value(b"X-Forwarded-Proto") == b"https"
    assert request.value(b"X-Forwarded-Host") == b"shop.test"


async def test_via_is_added_in_both_directions(world: World) -> None:
    answer, request = await world.admitted(get(fields=b"Via: 1.0 fred\r\n"))
    assert _chain(request.values(b"Via")) == [b"1.0 fred", b"1.1 gateway-test (all)"]
    assert "gateway-test" in ", ".join(answer.values("Via"))


@pytest.mark.parametrize(
    "value",
    [
        b"1.1 gateway-test (all)",
        b"1.0 fred, 1.1 gateway-test (all)",
        b"1.0 fred\r\nVia: 1.1 gateway-test (all)",
        b"HTTP/1.1 gateway-test (all)",
    ],
    ids=repr,
)
async def test_our_own_name_and_route_in_via_is_a_loop(world: World, value: bytes) -> None:
    before = len(world.origin.requests)
    async with world.client() as client:
        await client.send(get(fields=b"Via: " + value + b"\r\n"))
        answer = await client.answer()
    assert (answer.status, answer.json["reason"]) == (508, "loop_detected")
    assert len(world.origin.requests) == before


@pytest.mark.parametrize(
    "value", [b"1.1 not-gateway-test-either", b"1.1 gateway-test2", b"1.1 fred (gateway-test)"], ids=repr
)
async def test_another_name_in_via_is_no_loop(world: World, value: bytes) -> None:
    """A gateway whose name contains ours is somebody else."""
    answer, _ = await world.admitted(get(fields=b"Via: " + value + b"\r\n"))
    assert answer.status == 200


@pytest.mark.parametrize(
    "value", [b"evil\x01", b"evil evil", b"e" * 500, b"<evil>", b'"evil"', b"\xffevil", b""], ids=lambda v: repr(v[:10])
)
async def test_a_bad_request_id_is_replaced(world: World, value: bytes) -> None:
    request = await world.refused_or_admitted(get(fields=b"X-Request-Id: " + value + b"\r\n"))
    if request is not None:
        assert b"e" * 5 not in (request.value(b"X-Request-Id") or b"") or b"evil" not in (
            request.value(b"X-Request-Id") or b""
        )
        assert value not in request.values(b"X-Request-Id")
        assert request.value(b"X-Request-Id")


async def test_two_request_ids_become_one(world: World) -> None:
    _, request = await world.admitted(get(fields=b"X-Request-Id: aaa\r\nX-Request-Id: bbb\r\n"))
    assert len(request.values(b"X-Request-Id")) == 1


CLAIMING = {"gateway": {"client_ip": {"header": "CF-Connecting-IP"}}}


@pytest.mark.gateway(CLAIMING)
async def test_the_field_of_a_cdn_is_thrown_away_when_a_stranger_sends_it(world: World) -> None:
    """Where it says who the client is, only trusted proxies may say so: to us, and to the service behind us."""
    _, request = await world.admitted(get(fields=b"CF-Connecting-IP: 6.6.6.6\r\n"))
    assert request.values(b"CF-Connecting-IP") == []
    assert await _client_in_log(world) == "127.0.0.1"


@pytest.mark.gateway(
    {"gateway": {"client_ip": {**CLAIMING["gateway"]["client_ip"], "trusted_proxies": ["127.0.0.0/8"]}}}
)
async def test_the_field_of_a_cdn_is_believed_from_a_trusted_proxy(world: World) -> None:
    """The client is the one that it names, and the service gets it once."""
    _, request = await world.admitted(get(fields=b"cf-connecting-ip: 203.0.113.9\r\nX-Forwarded-For: 6.6.6.6\r\n"))
    assert request.values(b"CF-Connecting-IP") == [b"203.0.113.9"]
    assert await _client_in_log(world) == "203.0.113.9"

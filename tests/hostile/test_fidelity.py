"""What is not ours to change arrives as it was sent, and nothing is invented."""

from __future__ import annotations

from tests.support.behaviours import answers
from tests.support.world import World, get, post

MANAGED = {b"host", b"via", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded", b"x-real-ip",
           b"x-request-id", b"connection"}  # fmt: skip


async def test_fields_keep_order_case_and_duplicates(world: World) -> None:
    sent = [
        (b"X-Dup", b"1"),
        (b"x-dup", b"2"),
        (b"X-DUP", b"1"),
        (b"Cookie", b"a=b"),
        (b"Cookie", b"c=d"),
        (b"Accept", b"x"),
        (b"ACCEPT", b"y"),
    ]
    _, request = await world.admitted(get(fields=b"".join(b"%b: %b\r\n" % field for field in sent)))
    assert [field for field in request.fields if field[0].lower() not in MANAGED] == sent


async def test_bytes_above_127_are_unchanged_in_both_directions(world: World) -> None:
    value = bytes(range(0xA1, 0x100)) + b"\x80\x85\xa0" + b"x"
    world.origin.on("/case", answers(b"HTTP/1.1 200 OK\r\nX-Raw: " + value + b"\r\nContent-Length: 0\r\n\r\n"))
    answer, request = await world.admitted(get(fields=b"X-Raw: " + value + b"\r\n"))
    assert request.value(b"X-Raw") == value
    assert answer.value("X-Raw") == value.decode("latin-1")


async def test_an_empty_value_stays_empty(world: World) -> None:
    _, request = await world.admitted(get(fields=b"X-Empty:\r\nX-Spaces:   \r\nX-Inner: a  \t b\r\n"))
    assert (request.value(b"X-Empty"), request.value(b"X-Spaces"), request.value(b"X-Inner")) == (b"", b"", b"a  \t b")


async def test_set_cookie_is_never_joined_nor_remembered(world: World) -> None:
    """No cookie jar: what one user is given does not go upstream with the next."""
    raw = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nSet-Cookie: a=3\r\nContent-Length: 0\r\n\r\n"
    )
    world.origin.on("/case", answers(raw))
    answer, _ = await world.admitted(get())
    assert answer.values("Set-Cookie") == ["a=1; Path=/", "b=2", "a=3"]
    _, request = await world.admitted(get(b"/other"))
    assert request.values(b"Cookie") == []


async def test_nothing_is_invented(world: World) -> None:
    """No Accept, Accept-Encoding, User-Agent or Content-Type that the client did not send."""
    _, request = await world.admitted(get())
    assert {name.lower() for name, _ in request.fields} <= MANAGED
    _, request = await world.admitted(post(b"Content-Length: 5\r\n", b"abcde"))
    assert {name.lower() for name, _ in request.fields} <= MANAGED | {b"content-length"}


async def test_a_redirect_is_the_clients_to_follow(world: World) -> None:
    world.origin.on("/case", answers(b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n"))
    answer, _ = await world.admitted(get())
    assert (answer.status, answer.value("Location")) == (302, "http://evil.test/")


async def test_credentials_are_not_remembered(world: World) -> None:
    await world.admitted(get(fields=b"Authorization: Basic abc\r\n"))
    _, request = await world.admitted(get())
    assert request.values(b"Authorization") == []


async def test_an_encoded_body_is_not_decoded(world: World) -> None:
    """A bomb stays a bomb: we never look inside."""
    body = bytes(range(256)) * 4
    world.origin.on(
        "/case",
        answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)),
    )
    answer, request = await world.admitted(post(b"Content-Encoding: br\r\nContent-Length: %d\r\n" % len(body), body))
    assert (answer.body, bytes(request.body)) == (body, body)
    assert (answer.value("Content-Encoding"), request.value(b"Content-Encoding")) == ("gzip", b"br")


async def test_a_reason_phrase_and_an_unknown_status_pass(world: World) -> None:
    world.origin.on("/case", answers(b"HTTP/1.1 299 Quite \xe9 fine\r\nContent-Length: 0\r\n\r\n"))
    answer, _ = await world.admitted(get())
    assert answer.status == 299


async def test_there_is_exactly_one_date(world: World) -> None:
    world.origin.on(
        "/case", answers(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n")
    )
    answer, _ = await world.admitted(get())
    assert answer.value("Date") == "Sun, 06 Nov 1994 08:49:37 GMT"
    answer, _ = await world.admitted(get(b"/other"))
    assert answer.value("Date") is not None


async def test_no_version_is_leaked(world: World) -> None:
    world.origin.on("/case", answers(b"HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Length: 0\r\n\r\n"))
    answer, _ = await world.admitted(get())
    assert answer.value("Server") == "origin"
    refusal = await world.turned_away(get(b"/%zz"))
    assert refusal.values("Server") == []
    assert b"aiohttp" not in refusal.body.lower()

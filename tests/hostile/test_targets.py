"""The target is matched and forwarded as one and the same thing (RFC 9112 §3.2)."""

from __future__ import annotations

import pytest

from tests.support.origin import Origin, running_origin
from tests.support.plane import running_gateway
from tests.support.world import HOST, World, assert_is_refusal, get


async def test_absolute_form_becomes_origin_form(world: World) -> None:
    _, request = await world.admitted(b"GET http://gateway.test/case?a=b HTTP/1.1\r\n" + HOST + b"\r\n")
    assert request.target == b"/case?a=b"
    assert request.value(b"Host") == b"gateway.test"


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        (b"http://gateway.test", b"/"),
        (b"HTTP://gateway.test/a", b"/a"),
        (b"http://GATEWAY.test/a", b"/a"),
        (b"http://gateway.test?q", b"/?q"),
    ],
)
async def test_absolute_forms_that_are_the_same(world: World, target: bytes, seen: bytes) -> None:
    request = await world.refused_or_admitted(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert request is not None
    assert request.target == seen


ABSOLUTE = [
    b"http://evil.test/case",
    b"http://gateway.test:81/case",
    b"http://gateway.test.evil.test/case",
    b"http://evil@gateway.test/case",
    b"http://evil:pw@gateway.test/case",
    b"http://gateway.test@evil.test/case",
    b"https://gateway.test/case",
    b"ftp://gateway.test/evil",
    b"ws://gateway.test/evil",
    b"http:///evil",
    b"http://",
    b"http:/evil",
    b"http:evil",
    b"http://gateway.test\\@evil.test/",
    b"http://gateway.test#@evil.test/",
    b"http://[::1]/evil",
    b"http://127.0.0.1/evil",
    b"file:///etc/evil",
    b"gopher://gateway.test/evil",
    b"gateway.test/evil",
    b"evil",
    b"?evil",
    b"*evil",
    b"\\evil",
    b"://evil",
]


@pytest.mark.parametrize("target", ABSOLUTE, ids=repr)
async def test_an_authority_that_is_not_the_host_is_refused(world: World, target: bytes) -> None:
    await world.refused(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n", {400})


async def test_the_authority_in_the_target_is_never_dialled(origin: Origin) -> None:
    """Neither a stranger's server nor the gateway itself, also when Host agrees."""
    async with running_origin() as elsewhere, running_gateway(origin.port) as gateway:
        world = World(origin, gateway)
        for port in (elsewhere.port, gateway.port):
            authority = b"127.0.0.1:%d" % port
            _, request = await world.admitted(
                b"GET http://%b/case HTTP/1.1\r\nHost: %b\r\n\r\n" % (authority, authority)
            )
            assert request.target == b"/case"
        assert elsewhere.wires == []
        await world.verify()


@pytest.mark.parametrize("target", [b"/case#evil", b"/#", b"/case?a#evil", b"#evil", b"/%23#evil"], ids=repr)
async def test_a_fragment_is_refused(world: World, target: bytes) -> None:
    await world.refused(get(target), {400}, {"bad_target", "malformed_head"})


UNTOUCHED = [
    b"/", b"/?", b"/??", b"/?a=b&c=d", b"/a%20b", b"/a%2fb", b"/a%2Fb", b"/%7Euser", b"/~user", b"/a;b=c", b"/a,b", b"/a:b", b"/a@b",
    b"/a//b", b"//a", b"/a/", b"/a/?", b"/a%252fb", b"/%25zz", b"/?a=%2e%2e/%2f", b"/?next=http://evil.test/", b"/a/.b", b"/...",
    b"/a+b", b"/!$&'()*+,;=:@", b"/?!$&'()*+,;=:@/?", b"/%E2%82%AC", b"/%e2%82%ac", b"/%ff", b"/.well-known/x", b"/a%3Fb", b"/a%23b",
]  # fmt: skip


@pytest.mark.parametrize("target", UNTOUCHED, ids=repr)
async def test_the_bytes_of_a_good_target_are_forwarded_untouched(world: World, target: bytes) -> None:
    _, request = await world.admitted(get(target))
    assert request.target == target


@pytest.mark.parametrize(
    "target",
    [b"/a/../b", b"/a/./b", b"/./a", b"/%2e/a", b"/a/%2e%2e/b", b"/a/..%2fb", b"/a/..;/b", b"/%252e%252e/"],
    ids=repr,
)
async def test_dot_segments_under_one_route_are_untouched_or_refused(world: World, target: bytes) -> None:
    request = await world.refused_or_admitted(get(target), {400})
    if request is not None:
        assert request.target == target


@pytest.mark.parametrize("char", [b"|", b'"', b"<", b">", b"{", b"}", b"^", b"`", b"\\", b"[", b"]"], ids=repr)
@pytest.mark.parametrize("form", [b"/a%bc", b"/?a%bc"], ids=["path", "query"])
async def test_characters_outside_the_grammar_are_untouched_or_refused(world: World, form: bytes, char: bytes) -> None:
    """Browsers send some of them raw; either way nobody sees another target than we matched."""
    target = form.replace(b"%b", char)
    request = await world.refused_or_admitted(get(target), {400})
    if request is not None:
        assert request.target == target


BAD = [
    b"/%00", b"/a%00b", b"/a/%00evil", b"/%zz", b"/%", b"/%1", b"/a%", b"/%g0", b"/%u0041", b"/..", b"/../evil", b"/../../etc/evil",
    b"/%2e%2e/evil", b"/%2E%2E/evil", b"/.%2e/evil", b"/a/../../evil", b"/..%2fevil", b"/a/..%2f..%2fevil",
    b"/\xc3\xa9vil", b"/\xffevil", b"/\x80", b"/evil\x7f", b"/ev\x01il", b"/ev\til",
]  # fmt: skip


@pytest.mark.parametrize("target", BAD, ids=repr)
async def test_a_bad_target_is_refused(world: World, target: bytes) -> None:
    await world.turned_away(get(target), {400}, {"bad_target", "malformed_head", "ambiguous_path"})


# Every one of these is read as /admin/… by some server.
BYPASSES = [
    b"//admin/x", b"///admin/x", b"/./admin/x", b"/x/../admin/x", b"/x/..%2fadmin/x", b"/x/%2e%2e/admin/x", b"/%2e/admin/x", b"/%61dmin/x",
    b"/admi%6e/x", b"/admin%2fx", b"/%2fadmin/x", b"/x//../admin/x", b"/x/..//admin/x", b"/admin/../admin/x", b"/x/%2e%2e%2fadmin%2fx",
    b"/.//admin/x",
]  # fmt: skip
# The same where a server strips what follows a semicolon, reads a backslash as a slash, or has no case.
EXOTIC = [
    b"/admin;a=b/x",
    b"/;a=b/admin/x",
    b"/x/..;/admin/x",
    b"\\admin\\x",
    b"/\\admin/x",
    b"/x\\..\\admin\\x",
    b"/x/..%5cadmin/x",
]
TWO_ROUTES = {"upstreams": {"admin": {}}, "routes": {"admin": {"upstream": "admin", "match": {"path": "/admin/*"}}}}


@pytest.mark.parametrize("target", [*BYPASSES, *EXOTIC], ids=repr)
async def test_no_spelling_leads_around_a_route(origin: Origin, target: bytes) -> None:
    """Refused, or taken by the route that its normal form selects; never by the other one."""
    async with running_origin() as admin:
        config = {**TWO_ROUTES, "upstreams": {"admin": {"endpoints": [f"http://127.0.0.1:{admin.port}"]}}}
        async with running_gateway(origin.port, config) as gateway:
            world = World(origin, gateway)
            async with world.client() as client:
                await client.send(get(target))
                answer = await client.answer()
            assert origin.requests == [], f"{target!r} reached the public upstream"
            if answer.status != 200:
                assert_is_refusal(answer, {400}, {"ambiguous_path", "bad_target", "malformed_head"})
            await world.verify()
            assert admin.dirty == []


async def test_the_route_of_the_normal_form_is_taken(origin: Origin) -> None:
    """The other side of the coin: what is plain goes where it belongs."""
    async with running_origin() as admin:
        config = {**TWO_ROUTES, "upstreams": {"admin": {"endpoints": [f"http://127.0.0.1:{admin.port}"]}}}
        async with running_gateway(origin.port, config) as gateway:
            world = World(origin, gateway)
            async with world.client() as client:
                for target in (b"/admin/x", b"/admin/x?y=/../z", b"/admin/a%20b"):
                    await client.send(get(target))
                    assert (await client.answer()).json["target"] == target.decode()
            assert len(admin.requests) == 3
            for target in (b"/x?/admin/x", b"/administrator", b"/x/admin/y"):
                await world.admitted(get(target))
            await world.verify()

"""Fields that the gateway writes itself give way to those that an operator sets or removes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import answers
from tests.support.client import connected
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.client import Answer
    from tests.support.origin import Origin, Request

ROUTE = "[routes.all]\n"


async def asked(origin: Origin, config: str, fields: bytes = b"") -> tuple[Request, Answer]:
    """One request through a gateway of this configuration: as its origin saw it, and its answer."""
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n%b\r\n" % fields)
        answer = await client.answer()
    return origin.asked("/case")[-1], answer


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("via", b"Via: 1.1 fred\r\n"),
        ("x-request-id", b""),
        ("x-request-id", b"X-Request-Id: mine\r\n"),
        ("x-forwarded-for", b""),
        ("forwarded", b""),
        ("x-request-timeout-ms", b"X-Request-Timeout-Ms: 5000\r\n"),
    ],
)
async def test_what_is_removed_or_set_is_not_written_by_us(origin: Origin, name: str, fields: bytes) -> None:
    """A removed field does not reach the service, and a set one reaches it once, with the operator's value."""
    request, _ = await asked(origin, f'{ROUTE}remove_headers = ["{name.title()}"]\n', fields)
    assert request.values(name.encode()) == []
    request, _ = await asked(origin, f'{ROUTE}set_headers = {{ {name} = "ours" }}\n', fields)
    assert request.values(name.encode()) == [b"ours"]


@pytest.mark.parametrize("name", ["via", "date", "ratelimit", "ratelimit-policy"])
async def test_the_same_holds_for_responses(origin: Origin, name: str) -> None:
    """What the gateway adds to an answer can be removed and set as well."""
    origin.on("/case", answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    limits = f'{ROUTE}rate_limits = [{{ name = "r", rate = "100/s" }}]\n'
    _, answer = await asked(origin, limits)
    assert len(answer.values(name)) == 1
    _, answer = await asked(origin, f'{limits}remove_response_headers = ["{name}"]\n')
    assert answer.values(name) == []
    _, answer = await asked(origin, f'{limits}set_response_headers = {{ {name} = "ours" }}\n')
    assert answer.values(name) == ["ours"]


async def test_via_may_be_on_responses_alone(origin: Origin) -> None:
    """With via = "response" the service sees only the Via fields of others, and clients see ours."""
    request, answer = await asked(origin, "", b"Via: 1.1 fred\r\n")
    assert [value.split(b" (")[0] for value in request.values(b"Via")] == [b"1.1 fred", b"1.1 gateway-test"]
    request, answer = await asked(origin, '[gateway]\nvia = "response"\n', b"Via: 1.1 fred\r\n")
    assert request.values(b"Via") == [b"1.1 fred"]
    assert answer.values("Via") == ["1.1 gateway-test"]

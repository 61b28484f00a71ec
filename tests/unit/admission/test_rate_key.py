"""The key of a request is what the operator named, and leaving it out gives no freedom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.admission.rate_key import ABSENT, EVERYBODY, LONGEST, KeyReader

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(text: str, headers: Mapping[str, str] | None = None, **parameters: str) -> str:
    return KeyReader.parse(text).read("192.0.2.1", headers or {}, parameters)


def fields(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


def test_every_kind_of_key_is_read() -> None:
    """From the connection, a field, a cookie, the path, or from nothing."""
    headers = fields(("X-Api-Key", "k1"), ("Cookie", "a=1; sid=abc; b=2"))
    assert read("client_ip", headers) == "192.0.2.1"
    assert read("header:X-API-KEY", headers) == "k1"
    assert read("cookie:sid", headers) == "abc"
    assert read("path:tenant", headers, tenant="t1") == "t1"
    assert read("route", headers) == EVERYBODY
    assert read("header:x-api-key", {"x-api-key": "k2"}) == "k2"


@pytest.mark.parametrize("text", ["header:x-key", "cookie:sid", "path:id"])
@pytest.mark.parametrize(
    "headers", [fields(), fields(("X-Key", ""), ("Cookie", "sid=")), fields(("Cookie", "sidx=1;"))]
)
def test_all_that_leave_the_key_out_share_one(text: str, headers: CIMultiDictProxy[str]) -> None:
    """An absent and an empty value are the same key."""
    assert read(text, headers) == ABSENT


def test_two_values_that_differ_are_no_value() -> None:
    """The upstream may believe the other one, so choosing gives no freedom either; equal ones are one."""
    assert read("header:x-key", fields(("X-Key", "mine"), ("x-key", "invented-1"))) == ABSENT
    assert read("cookie:sid", fields(("Cookie", "sid=invented-1; sid=mine"))) == ABSENT
    assert read("cookie:sid", fields(("Cookie", "sid=1"), ("Cookie", "sid=2"))) == ABSENT
    assert read("header:x-key", fields(("X-Key", "a"), ("x-key", " a "))) == "a"


def test_a_connection_without_an_address_has_the_absent_key() -> None:
    """Clients on a unix socket, for example."""
    assert KeyReader.parse("client_ip").read("", {}, {}) == ABSENT


@given(st.text(st.characters(codec=None), max_size=300), st.text(max_size=300))
def test_keys_are_bounded_and_different_values_stay_different(first: str, second: str) -> None:
    """Whatever bytes a client sends."""
    one, other = (read("header:x-key", {"x-key": value}) for value in (first, second))
    assert len(one) <= LONGEST
    assert one != EVERYBODY
    if first.strip(" \t") != second.strip(" \t"):
        assert one != other
    assert (one == ABSENT) is (first.strip(" \t") == "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ip",
        "client_ip:x",
        "route:",
        "header",
        "header:",
        "header:a b",
        "cookie:",
        "cookie:a;b",
        "path:",
        "path:a-b",
        "header:é",
        "Header:x",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """With a sentence that lists what may be written."""
    with pytest.raises(ValueError, match="expected client_ip, header:NAME"):
        KeyReader.parse(text)


def test_a_reader_shows_what_was_written() -> None:
    """And says what it needs of the route and of the connection."""
    assert repr(KeyReader.parse("header:X-Key")) == "<KeyReader header:x-key>"
    assert str(KeyReader.parse("client_ip")) == "client_ip"
    assert KeyReader.parse("client_ip").is_of_client
    assert KeyReader.parse("path:id").parameter == "id"
    assert KeyReader.parse("header:x").parameter == ""

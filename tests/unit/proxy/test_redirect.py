"""Addresses in answers get the prefix that was taken from the path, where they are this service's."""

from __future__ import annotations

import pytest

from gateway.proxy.redirect import relocated


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"/", b"/api/"),
        (b"/login?next=/x#y", b"/api/login?next=/x#y"),
        (b"/api/login", b"/api/login"),
        (b"/api", b"/api"),
        (b"/api?x", b"/api?x"),
        (b"/apis", b"/api/apis"),
        (b"http://shop.test/login", b"http://shop.test/api/login"),
        (b"HTTPS://SHOP.test", b"HTTPS://SHOP.test/api/"),
        (b"https://shop.test/api/login", b"https://shop.test/api/login"),
        (b"http://127.0.0.1:9001/login", b"/api/login"),
        (b"http://127.0.0.1:9001/api/login", b"/api/login"),
        (b"http://other.test/login", b"http://other.test/login"),
        (b"http://shop.test.evil/login", b"http://shop.test.evil/login"),
        (b"http://shop.test@evil/login", b"http://shop.test@evil/login"),
        (b"http://shop.test?x", b"http://shop.test?x"),
        (b"//evil.test/", b"//evil.test/"),
        (b"login", b"login"),
        (b"../x", b"../x"),
        (b"", b""),
    ],
)
def test_where_a_redirect_leads(value: bytes, expected: bytes) -> None:
    """Paths and addresses of this service get it once; others, and relative references, stay."""
    fields = b"Server: x\r\nLOCATION: " + value + b"\r\nContent-Location:" + value + b"\r\nX-Location: /\r\n"
    found = relocated(fields, b"/api", b"shop.test", b"127.0.0.1:9001")
    assert (
        found == b"Server: x\r\nLOCATION: " + expected + b"\r\nContent-Location:" + expected + b"\r\nX-Location: /\r\n"
    )

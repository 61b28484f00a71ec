"""Which patterns can be written."""

from __future__ import annotations

import pytest

from gateway.routing.patterns import HostPattern, PathPattern


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "/*/a",
        "/a*",
        "/a/**",
        "/{a}/{a}",
        "/{}",
        "/{a}.json",
        "/{1a}",
        "//",
        "/a//b",
        "/a//*",
        "/./a",
        "/a/..",
        "/a;b",
        "/a b",
        "/a?b",
        "/%2f",
        "/%41",
        "/%4",
        "/é",
        "/a\\b",
        "/%252e",
        "/%00",
        "/a\n",
    ],
)
def test_a_path_pattern_that_could_be_misread_is_refused(text: str) -> None:
    """A pattern has exactly one spelling and one meaning."""
    with pytest.raises(ValueError, match="expected"):
        PathPattern.parse(text)


@pytest.mark.parametrize("text", ["/", "/*", "/a", "/a/", "/a/*", "/{a}/b/{c}/*", "/a%20b", "/a@b:c,d", "/~u", "/%25"])
def test_a_plain_path_pattern_is_read(text: str) -> None:
    """Exact paths, prefixes and parameters are understood."""
    assert PathPattern.parse(text).is_prefix == text.endswith("*")


@pytest.mark.parametrize(
    "text",
    ["*", "*.", "a.*", "*a.test", "a..b", "a:80", "http://a", "a/b", "-a", "é.test", "[::1]:80", "[::g]", "a" * 64, ""],
)
def test_a_host_pattern_that_matches_nothing_is_refused(text: str) -> None:
    """Ports, schemes, stray stars and impossible names are errors, not routes that never match."""
    with pytest.raises(ValueError, match="expected"):
        HostPattern.parse(text)

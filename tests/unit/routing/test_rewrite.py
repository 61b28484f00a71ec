"""What the upstream sees as the path."""

from __future__ import annotations

import pytest

from gateway.core.errors import BadRequest
from gateway.routing.rewrite import PathRewrite
from gateway.routing.settings import Match
from gateway.routing.table import RoutingTable


def rewritten(path: str, match: str = "/*", strip_prefix: str | None = None, rewrite: str | None = None) -> str:
    rule = Match(path=match)
    hit = RoutingTable.compile({"r": rule}).match("h", path.partition("?")[0], "GET", {})
    change = PathRewrite.compile(rule, strip_prefix, rewrite)
    assert change is not None
    return change.apply(path, hit)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api/a%2Fb", "/a%2Fb"),
        ("/apis/a", "/apis/a"),
        ("/api?a=/api/%zz?", "/?a=/api/%zz?"),
        ("/api//a", "//a"),
        ("/other", "/other"),
    ],
)
def test_a_prefix_is_stripped_at_a_segment_only(path: str, expected: str) -> None:
    """The prefix goes, everything else including the query stays byte for byte."""
    assert rewritten(path, strip_prefix="/api") == expected
    assert rewritten(path, strip_prefix="/api/") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/u/7/x/y", "/v2/7/z/x/y"),
        ("/u/7", "/v2/7/z"),
        ("/u/7/", "/v2/7/z/"),
        ("/u/a%20b/x?q=%2f&", "/v2/a%20b/z/x?q=%2f&"),
        ("/u/7?", "/v2/7/z?"),
    ],
)
def test_a_template_takes_parameters_and_the_rest(path: str, expected: str) -> None:
    """Parameters and the rest move untouched, and a missing last slash stays missing."""
    assert rewritten(path, match="/u/{id}/*", rewrite="/v2/{id}/z/*") == expected


def test_stripping_cannot_make_a_path_climb() -> None:
    """What climbs above the root only after the prefix is gone is refused."""
    with pytest.raises(BadRequest, match="bad_target"):
        rewritten("/api/../x", strip_prefix="/api")


@pytest.mark.parametrize(
    ("match", "strip_prefix", "rewrite"),
    [
        ("/*", "/a", "/b"),
        ("/*", "/a/*", None),
        ("/*", "a", None),
        ("/*", "/{a}", None),
        ("/{a}", None, "/{b}"),
        ("/a", None, "/b/*"),
        ("/*", None, "b"),
    ],
)
def test_a_rewrite_that_cannot_work_is_refused(match: str, strip_prefix: str | None, rewrite: str | None) -> None:
    """Unknown parameters, a rest that is not there and both kinds at once are configuration errors."""
    with pytest.raises(ValueError, match="expected"):
        PathRewrite.compile(Match(path=match), strip_prefix, rewrite)


def test_nothing_to_change_is_none() -> None:
    """Without a rewrite there is no object to pay for."""
    assert PathRewrite.compile(Match(), None, None) is None
    assert PathRewrite.compile(Match(), "/", None) is None

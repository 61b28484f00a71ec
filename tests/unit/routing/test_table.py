"""The order of specificity, what a hit carries, and how requests are refused."""

from __future__ import annotations

import pytest

from gateway.core.errors import BadRequest
from gateway.routing.conflicts import RouteConflict
from gateway.routing.settings import Match
from gateway.routing.table import RoutingTable


def match(routes: dict[str, Match], path: str, host: str = "h.test", method: str = "GET", **headers: str) -> str:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return RoutingTable.compile(routes).match(host, path, method, fields).name


def refusal(routes: dict[str, Match], path: str, method: str = "GET") -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        RoutingTable.compile(routes).match("h.test", path, method, {})
    return caught.value


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.test", "exact"),
        ("A.TEST:8080", "exact"),
        ("a.test.", "exact"),
        ("a.test.:443", "exact"),
        ("x.a.test", "short"),
        ("y.x.a.test", "short"),
        ("z.b.a.test", "long"),
        ("b.a.test", "short"),
        ("other", "any"),
        ("xa.test", "any"),
        ("[::1]:80", "six"),
        ("[0:0::1]", "six"),
        ("", "any"),
        ("." * 5000, "any"),
    ],
)
def test_the_most_specific_host_wins(host: str, expected: str) -> None:
    """An exact host is before wildcards, a longer suffix before a shorter, and any host is last."""
    routes = {
        "any": Match(),
        "exact": Match(hosts=("a.test",)),
        "short": Match(hosts=("*.a.test",)),
        "long": Match(hosts=("*.B.a.test",)),
        "six": Match(hosts=("[0::0:1]",)),
    }
    assert match(routes, "/", host=host) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/users/me", "literal"),
        ("/users/7", "parameter"),
        ("/users/", "prefix"),
        ("/users", "prefix"),
        ("/users/7/", "prefix"),
        ("/users/me/x", "prefix"),
        ("/userss", "all"),
        ("/", "all"),
        ("*", "all"),
    ],
)
def test_the_most_specific_path_wins(path: str, expected: str) -> None:
    """A literal is before a parameter, exact before a prefix, and a parameter is never empty."""
    routes = {
        "all": Match(),
        "prefix": Match(path="/users/*"),
        "parameter": Match(path="/users/{id}"),
        "literal": Match(path="/users/me"),
    }
    assert match(routes, path) == expected


def test_a_special_route_never_hides_a_general_one() -> None:
    """When the most specific path fails on method or header, less specific ones are tried, also on other hosts."""
    routes = {
        "special": Match(hosts=("h.test",), path="/a/b", methods=("POST",)),
        "versioned": Match(path="/a/{x}", headers={"X-Version": "2"}),
        "general": Match(path="/a/*"),
    }
    assert match(routes, "/a/b", method="POST") == "special"
    assert match(routes, "/a/b", x_version="2") == "versioned"
    assert match(routes, "/a/b") == "general"


def test_methods_then_headers_decide() -> None:
    """A rule with methods is before one without, then more headers before fewer."""
    routes = {
        "bare": Match(),
        "get": Match(methods=("GET",)),
        "one": Match(headers={"x-a": "1"}),
        "two": Match(headers={"x-a": "1", "x-b": "1"}),
    }
    assert match(routes, "/", method="GET", x_a="1", x_b="1") == "get"
    assert match(routes, "/", method="PUT", x_a="1", x_b="1") == "two"
    assert match(routes, "/", method="PUT", x_a="1") == "one"
    assert match(routes, "/", method="PUT") == "bare"


def test_get_serves_head_unless_a_rule_names_head() -> None:
    """HEAD goes to the rule for GET, and to its own rule where there is one."""
    get = {"all": Match(), "get": Match(path="/a", methods=("GET",))}
    assert match(get, "/a", method="HEAD") == "get"
    assert match(get | {"head": Match(path="/a", methods=("HEAD",))}, "/a", method="HEAD") == "head"


def test_a_hit_carries_parameters_and_the_rest() -> None:
    """Parameters and the rest are what the path said, with its escapes."""
    table = RoutingTable.compile({"r": Match(path="/u/{id}/f/*"), "s": Match(path="/s%20s/*"), "x": Match(path="/x")})
    hit = table.match("h", "/u/a%20b/f/c/d", "GET", {})
    assert (dict(hit.parameters), hit.rest) == ({"id": "a%20b"}, "c/d")
    assert table.match("h", "/u/7/f", "GET", {}).rest == ""
    assert table.match("h", "/u/7/f/", "GET", {}).rest == ""
    assert table.match("h", "/s%20s/t%3F", "GET", {}).rest == "t%3F"
    assert table.match("h", "/x", "GET", {}).rest == ""
    assert RoutingTable.compile({"all": Match()}).match("h", "/a/b", "GET", {}).rest == "a/b"


def test_unknown_paths_and_methods_are_told_apart() -> None:
    """405 with Allow only where another method would have been taken; 404 otherwise."""
    routes = {
        "a": Match(path="/a", methods=("POST",)),
        "b": Match(path="/{x}", methods=("GET",)),
        "c": Match(path="/a", methods=("PUT",), headers={"x-c": "1"}),
    }
    refused = refusal(routes, "/a", "DELETE")
    assert (refused.reason, refused.status, refused.fields) == ("method_not_allowed", 405, {"Allow": "GET, HEAD, POST"})
    assert refusal(routes, "/a/b").reason == "no_route"


@pytest.mark.parametrize(
    "path",
    ["/a%", "/a%4", "/%zz", "/%00", "/a%00b", "/..", "/a/../..", "/%2e%2e/x", "/..;/x", "/a\\..\\..", "", "a", "/%+1"],
)
def test_what_no_upstream_should_see_is_refused(path: str) -> None:
    """Broken escapes, NUL, climbing above the root and paths without a root are refused by every table."""
    assert refusal({"all": Match()}, path).reason == "bad_target"
    assert refusal({"all": Match(), "a": Match(path="/a/*")}, path).reason == "bad_target"


@pytest.mark.parametrize(
    "path",
    [
        "/x/../admin",
        "/x/..%2fadmin",
        "//admin",
        "/./admin",
        "/%61dmin",
        "/%2561dmin/%252e",
        "/admin;x=1",
        "/x/%2e%2e/admin/",
        "/x\\..\\admin",
        "/x/..;/admin",
        "/%2fadmin",
        "/admin%2fx",
        "/x/%252e%252e/admin",
        "/admin%5cx",
        "/;a/admin",
        "/x/.//../admin",
        "/x%5c..%5cadmin",
    ],
)
def test_a_path_with_two_meanings_is_refused(path: str) -> None:
    """What selects one route as written and another when normalised goes to neither."""
    routes = {"all": Match(), "admin": Match(path="/admin/*")}
    assert refusal(routes, path).reason == "ambiguous_path"


@pytest.mark.parametrize(
    "path",
    [
        "/admin/a%20b",
        "/admin/caf%C3%A9",
        "/admin/.well-known/x",
        "/admin/a//b",
        "/admin/a;v=1/b",
        "/admin/a/../b",
        "/admin/100%25",
    ],
)
def test_a_path_with_one_meaning_passes(path: str) -> None:
    """Escapes, dots, empty segments and parameters that do not change the route are left alone."""
    assert match({"all": Match(), "admin": Match(path="/admin/*")}, path) == "admin"


@pytest.mark.parametrize("path", ["/caf%C3%A9/x", "/caf%c3%a9/x"])
def test_escapes_in_patterns_match_in_either_case(path: str) -> None:
    """A pattern with escapes takes requests with the same octets."""
    assert match({"all": Match(), "cafe": Match(path="/caf%C3%A9/*")}, path) == "cafe"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Match(), Match()),
        (Match(path="/u/{a}"), Match(path="/u/{b}")),
        (Match(methods=("GET", "PUT")), Match(methods=("GET", "POST"))),
        (Match(headers={"x-a": "1"}), Match(headers={"X-B": "1"})),
        (Match(headers={"x-a": "1", "x-b": "2"}), Match(headers={"x-c": "1", "x-a": "1"})),
        (Match(hosts=("a.test", "b.test")), Match(hosts=("c.test", "B.test."))),
    ],
)
def test_equal_rank_is_a_tie(first: Match, second: Match) -> None:
    """Two routes that can take one request with the same rank are a configuration error naming both."""
    with pytest.raises(RouteConflict) as caught:
        RoutingTable.compile({"one": first, "two": second, "other": Match(path="/elsewhere")})
    assert [(tie.first, tie.second) for tie in caught.value.conflicts] == [("one", "two")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Match(methods=("GET",)), Match(methods=("HEAD",))),
        (Match(headers={"x-a": "1"}), Match(headers={"x-a": "2"})),
        (Match(headers={"x-a": "1", "x-b": "2"}), Match(headers={"x-c": "1", "x-a": "2"})),
        (Match(path="/a"), Match(path="/a/")),
        (Match(path="/a/{b}/*"), Match(path="/a/{b}")),
        (Match(hosts=("*.a.test",)), Match(hosts=("*.test",))),
    ],
)
def test_different_requests_or_ranks_do_not_tie(first: Match, second: Match) -> None:
    """Contradicting headers, other methods and other shapes can stand side by side."""
    RoutingTable.compile({"one": first, "two": second})


def test_all_ties_are_told_at_once() -> None:
    """One error carries every pair and a request that both would take."""
    with pytest.raises(RouteConflict) as caught:
        RoutingTable.compile({"a": Match(), "b": Match(), "c": Match(path="/c"), "d": Match(path="/c")})
    assert [tie.request for tie in caught.value.conflicts] == ["any method /* on any host", "any method /c on any host"]


def test_reasons_of_losers_are_words() -> None:
    """An explanation says for each loser the first thing that differs."""
    table = RoutingTable.compile(
        {
            "win": Match(path="/a/b"),
            "host": Match(hosts=("x.test",)),
            "path": Match(path="/z"),
            "less": Match(),
            "method": Match(path="/a/b", methods=("POST",)),
            "header": Match(path="/a/b", headers={"x-a": "1"}),
        }
    )
    explanation = table.explain("h", "/a/b", "GET", {})
    assert explanation.winner == "win"
    assert dict(explanation.losers) == {
        "host": "host differs",
        "path": "path differs",
        "less": "less specific path than win",
        "method": "method GET not in POST",
        "header": "header x-a is not '1'",
    }

"""What must hold for every table and every request."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import permutations
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.routing import paths as module
from gateway.routing.conflicts import RouteConflict
from gateway.routing.settings import Match
from gateway.routing.table import RoutingTable

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

# An independent answer to "which route?": asks every rule and takes the best, in plain words.
Rank = tuple[object, ...]


def rank(match: Match, host: str, path: str, method: str, headers: Mapping[str, str]) -> Rank | None:
    """How specific a match is for a request; None when it does not match."""
    hosts = [0 if not match.hosts else -1]
    for pattern in match.hosts:
        if pattern == host:
            hosts.append(10_000)
        elif pattern.startswith("*.") and host.endswith(pattern[1:]) and host != pattern[2:]:
            hosts.append(len(pattern.split(".")))
    if max(hosts) < 0:
        return None
    expression = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(match.path.removesuffix("/*")))
    expression += r"(?:/.*)?" if match.path.endswith("/*") else ""
    if not re.fullmatch(expression, path, re.DOTALL):
        return None
    segments = match.path.removeprefix("/").split("/")
    kinds = ["a" if part == "*" else "c" if part.startswith("{") else "d" for part in segments]
    if not match.path.endswith("/*"):
        kinds.append("b")
    if match.methods and method not in match.methods and not (method == "HEAD" and "GET" in match.methods):
        return None
    if any(headers.get(name) != value for name, value in match.headers.items()):
        return None
    verb = 0 if not match.methods else 2 if method in match.methods else 1
    return (max(hosts), "".join(kinds), verb, len(match.headers))


def winner(routes: Mapping[str, Match], host: str, path: str, method: str, headers: Mapping[str, str]) -> str | None:
    """The name of the most specific route; None when none matches."""
    ranks = {name: rank(match, host, path, method, headers) for name, match in routes.items()}
    found = {name: one for name, one in ranks.items() if one is not None}
    return max(found, key=lambda name: found[name]) if found else None


HOSTS = ("a.test", "b.a.test", "c.b.a.test", "d.test")
WORDS = ("admin", "shop", "x")

patterns = st.builds(
    lambda parts, end: "/" + "/".join([*(part.replace("?", str(i)) for i, part in enumerate(parts)), *end]),
    st.lists(st.sampled_from(["admin", "shop", "{p?}"]), max_size=2),
    st.sampled_from([["*"], [], [""]]),
).filter(lambda text: "//" not in text)
HOST_SETS = [(), ("a.test",), ("*.a.test",), ("*.b.a.test",), ("*.test", "d.test"), ("b.a.test",)]
HEADERS = [{}, {"x-a": "1"}, {"x-a": "2"}, {"x-b": "1"}, {"x-a": "1", "x-b": "1"}]


@st.composite
def drawn_tables(draw: st.DrawFn) -> dict[str, Match]:
    """Up to eight routes on few hosts and paths, so that they meet."""
    hosts = [(), *draw(st.lists(st.sampled_from(HOST_SETS), max_size=1))]
    shapes = draw(st.lists(patterns, min_size=1, max_size=2))
    rule = st.builds(
        Match,
        hosts=st.sampled_from(hosts),
        path=st.sampled_from(shapes),
        methods=st.sampled_from([(), (), ("GET",), ("HEAD",), ("GET", "POST")]),
        headers=st.sampled_from(HEADERS),
    )
    return {f"r{index}": match for index, match in enumerate(draw(st.lists(rule, min_size=1, max_size=8)))}


tables = drawn_tables()
paths = st.lists(st.sampled_from(["admin", "shop", "other"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
requests = st.tuples(
    st.sampled_from(HOSTS),
    st.one_of(paths, paths.map(lambda path: path.rstrip("/") + "/")),
    st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    st.sampled_from([{}, {"x-a": "1"}, {"x-a": "2", "x-b": "1"}, {"x-a": "1", "x-b": "1"}]),
)


many_requests = st.lists(requests, min_size=1, max_size=15)
Request = tuple[str, str, str, dict[str, str]]


def compiled(routes: dict[str, Match]) -> RoutingTable:
    try:
        return RoutingTable.compile(routes)
    except RouteConflict as conflict:
        for tie in conflict.conflicts:  # drop one of each pair, so that most tables can be used
            routes.pop(tie.second, None)
        return compiled(routes)


def chosen(table: RoutingTable, request: Request) -> str | None:
    try:
        return table.match(*request).name
    except BadRequest:
        return None


@settings(max_examples=200)
@given(tables, many_requests)
def test_the_winner_is_the_oracles(routes: dict[str, Match], asked: list[Request]) -> None:
    """The tries choose what asking every rule one by one chooses."""
    table = compiled(routes)
    for request_ in asked:
        assert chosen(table, request_) == winner(routes, *request_)


@given(tables, requests, st.randoms())
def test_order_never_matters(routes: dict[str, Match], request_: Request, rng: random.Random) -> None:
    """Moving routes in the file never changes who serves a request."""
    table = compiled(routes)
    names = list(routes)
    rng.shuffle(names)
    assert chosen(RoutingTable.compile({name: routes[name] for name in names}), request_) == chosen(table, request_)


@given(tables, st.randoms())
def test_ties_do_not_depend_on_order(routes: dict[str, Match], rng: random.Random) -> None:
    """The same pairs tie whatever the order."""

    def pairs(names: list[str]) -> set[tuple[str, str]]:
        try:
            RoutingTable.compile({name: routes[name] for name in names})
        except RouteConflict as conflict:
            return {tuple(sorted((tie.first, tie.second))) for tie in conflict.conflicts}
        return set()

    names = list(routes)
    shuffled = rng.sample(names, len(names))
    assert bool(pairs(names)) == bool(pairs(shuffled))


@settings(max_examples=200)
@given(tables, many_requests)
def test_two_routes_never_share_the_first_place(routes: dict[str, Match], asked: list[Request]) -> None:
    """Whatever a table without ties is asked, one matching rule is before all others."""
    compiled(routes)
    for request_ in asked:
        ranks = [one for match in routes.values() if (one := rank(match, *request_)) is not None]
        assert not ranks or ranks.count(max(ranks)) == 1


@given(tables, requests)
def test_every_loser_has_a_reason(routes: dict[str, Match], request_: Request) -> None:
    """An explanation names the winner and says something about every other route."""
    explanation = compiled(routes).explain(*request_)
    assert explanation.winner == winner(routes, *request_)
    named = {name for name, _ in explanation.losers} | ({explanation.winner} - {None})
    assert named == set(routes)
    assert all(why for _, why in explanation.losers)


PIECES = [
    "/",
    "//",
    "/./",
    "/../",
    "..",
    ".",
    "\\",
    ";v=1",
    "..;",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5c",
    "%252e",
    "%252f",
    "%61",
    "%3b",
]
oddities = st.lists(st.sampled_from(PIECES), max_size=3).map("".join)
tricky = st.builds(
    lambda *parts: "/" + "".join(parts),
    oddities,
    st.sampled_from([*WORDS, "shop/x"]),
    oddities,
    st.sampled_from(["", *WORDS]),
)


def _decoded(path: str) -> str:
    return unquote_to_bytes(path).decode("latin-1")


def _without_parameters(path: str) -> str:
    return "/".join(part.split(";")[0] for part in path.split("/"))


def _merged(path: str) -> str:
    return re.sub(r"/+", "/", path)


def _resolved(path: str) -> str:
    out: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            del out[-1:]
        elif part != ".":
            out.append(part)
    return "/" + "/".join(out) + ("/" if path.rsplit("/", 1)[1] in {".", ".."} and out else "")


STEPS = [_decoded, _without_parameters, _merged, _resolved, lambda path: path.replace("\\", "/")]
GUARDED = {
    "rest": Match(),
    "admin": Match(path="/admin/*"),
    "shop": Match(path="/shop/{id}/*"),
    "exact": Match(path="/shop/x"),
    "slash": Match(path="/x/"),
}


@settings(max_examples=150)
@given(tricky)
def test_no_reading_selects_another_route(path: str) -> None:
    """A request that is routed to X is not routed to Y by any way of normalising its path."""
    name = chosen(RoutingTable.compile(GUARDED), ("any", path, "GET", {}))
    assume(name is not None)
    for steps in permutations(STEPS):
        reading = path
        for step in steps:
            reading = step(reading)
            assert winner(GUARDED, "any", reading, "GET", {}) == name, reading


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_any_ascii_path_is_routed_or_refused(path: str) -> None:
    """No path makes the table fail in another way than BadRequest."""
    with suppress(BadRequest):
        assert RoutingTable.compile(GUARDED).match("any", path, "GET", {}).path == path


@pytest.mark.parametrize("path", ["/" + "/a;/..\\%2e//" * 600, "/" + "//./%2f;x\\" * 900])
def test_a_crafted_path_buys_no_time(path: str) -> None:
    """A path with very many readings is refused before they are all made."""
    steps = 0
    original = module._steps

    def counting(text: str, decodings: int) -> list[tuple[str, int]]:
        nonlocal steps
        steps += len(text)
        return original(text, decodings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_steps", counting)
        with pytest.raises(BadRequest):
            RoutingTable.compile(GUARDED).match("any", path, "GET", {})
    assert steps <= 16 * 1024 + 4 * len(path)

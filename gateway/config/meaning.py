"""What must hold between keys: names that exist, routes that do not tie, files that fit.

Every check looks only at parts that are whole, so one mistake is reported once.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path as File
from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace

from gateway.admission.classes import DEFAULT_CLASS
from gateway.admission.rate_key import KeyReader
from gateway.admission.rate_settings import broken_rule
from gateway.config import shown
from gateway.config.addresses import parse_listen
from gateway.config.certificates import check_authorities, check_pair
from gateway.config.formats import reads_as_other
from gateway.config.judged import check_judged
from gateway.config.scaled import check_scaled
from gateway.pool.program import find_program, missing
from gateway.pool.settings import PLACEHOLDERS
from gateway.routing.conflicts import RouteConflict
from gateway.routing.rewrite import PathRewrite
from gateway.routing.rules import Rule
from gateway.routing.table import RoutingTable
from gateway.scaling.settings import with_full_paths as with_full_paths_of_actuator
from gateway.upstream.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config.document import Document
    from gateway.config.settings import Route, Settings, Upstream
    from gateway.config.shown import Path
    from gateway.config.walk import Walk
    from gateway.pool.settings import Pool


def with_full_paths(settings: Settings, folder: File) -> Settings:
    """The same settings with the names of files made absolute."""
    admin = settings.admin
    files = {"token_file": admin.token_file, "ledger": admin.ledger}
    full = {key: str(folder / name) for key, name in files.items() if name is not None}
    settings = replace(settings, admin=replace(admin, **full), upstreams=_upstreams(settings.upstreams, folder))
    if settings.keda is not None and settings.keda.tls is not None:
        names = asdict(settings.keda.tls)
        full = {key: str(folder / name) for key, name in names.items() if name is not None}
        settings = replace(settings, keda=replace(settings.keda, tls=replace(settings.keda.tls, **full)))
    tls = settings.gateway.tls
    if tls is None:
        return settings
    tls = replace(tls, certificate=str(folder / tls.certificate), key=str(folder / tls.key))
    return replace(settings, gateway=replace(settings.gateway, tls=tls))


def _upstreams(upstreams: Mapping[str, Upstream], folder: File) -> dict[str, Upstream]:
    found = dict(upstreams)
    for name, upstream in upstreams.items():
        scaling = upstream.scaling
        if scaling is not None:
            actuator = with_full_paths_of_actuator(scaling.actuator, folder)
            found[name] = replace(upstream, scaling=replace(scaling, actuator=actuator))
    return found


def check(walk: Walk, document: Document, settings: Settings) -> None:
    """Add every problem and warning that needs more than one key to see."""
    written = document.data.get("upstreams")
    upstreams = list(written) if isinstance(written, dict) else []
    _check_addresses(walk, settings)
    if settings.gateway.tls is not None and walk.is_whole(("gateway", "tls")):
        check_pair(walk, ("gateway", "tls"), settings.gateway.tls.certificate, settings.gateway.tls.key)
    _check_keda(walk, settings)
    _check_files(walk, settings)
    for name in upstreams:
        if name in settings.upstreams:
            _check_upstream(walk, name, settings)
    for name, route in settings.routes.items():
        _check_route(walk, name, route, upstreams)
        _check_class(walk, name, route, settings)
        if walk.is_whole(("routes", name, "rate_limits")):
            _check_rate_limits(walk, name, route)
    _check_fairness(walk, settings)
    _check_ties(walk, settings)
    if walk.is_whole(("routes",)):
        used = {route.upstream for route in settings.routes.values()}
        for name in upstreams:
            if name not in used:
                walk.warning(("upstreams", name), "no route leads to this upstream")


def _check_addresses(walk: Walk, settings: Settings) -> None:
    seen: dict[object, Path] = {}
    places: list[tuple[Path, str]] = []
    if walk.is_whole(("admin", "listen")):
        places.append((("admin", "listen"), settings.admin.listen))
        if not parse_listen(settings.admin.listen).is_loopback:
            walk.warning(("admin", "listen"), "can be reached from other machines; whoever reaches it can read it")
    if settings.keda is not None and walk.is_whole(("keda", "listen")):
        places.append((("keda", "listen"), settings.keda.listen))
    if walk.is_whole(("gateway", "listen")):
        places += [(("gateway", "listen", index), text) for index, text in enumerate(settings.gateway.listen)]
    for path, text in places:
        address = parse_listen(text)
        if address.port and address in seen:
            other = shown.key(seen[address])
            walk.problem(path, f"expected every address once; {other} listens there too", f'"{text}"')
        seen[address] = path


def _check_files(walk: Walk, settings: Settings) -> None:
    """Files without which requests are served all the same, and something else does not work."""
    files: list[tuple[Path, str | None]] = [(("admin", "token_file"), settings.admin.token_file)]
    for name, upstream in settings.upstreams.items():
        if upstream.scaling is not None:
            for key in ("kubeconfig", "secret_file", "ca_file"):
                where = ("upstreams", name, "scaling", "actuator", key)
                files.append((where, getattr(upstream.scaling.actuator, key)))
    for path, file in files:
        if file is not None and walk.is_whole(path):
            try:
                with File(file).open("rb"):
                    pass
            except OSError as error:
                walk.warning(path, f'cannot be read: {error.strerror}: "{file}"')


def _check_keda(walk: Walk, settings: Settings) -> None:
    tls = None if settings.keda is None else settings.keda.tls
    path: Path = ("keda", "tls")
    if tls is None or not walk.is_whole(path):
        return
    check_pair(walk, path, tls.certificate, tls.key)
    if tls.client_ca is not None:
        check_authorities(walk, (*path, "client_ca"), tls.client_ca)


def _check_upstream(walk: Walk, name: str, settings: Settings) -> None:
    upstream = settings.upstreams[name]
    path: Path = ("upstreams", name)
    limit = upstream.limit
    if walk.is_whole((*path, "limit")) and not limit.min <= limit.initial <= limit.max:
        walk.problem((*path, "limit"), f"expected min <= initial <= max; got {limit.min}, {limit.initial}, {limit.max}")
    check_judged(walk, path, upstream)
    check_scaled(walk, path, upstream)
    if not walk.is_whole((*path, "endpoints")) or not walk.is_whole((*path, "pool")):
        return
    if upstream.endpoints and upstream.pool is not None:
        walk.problem(path, 'expected either "endpoints" or "pool", not both')
    elif not upstream.endpoints and upstream.pool is None:
        walk.problem(path, 'expected "endpoints" or a "pool" table')
    if upstream.pool is not None:
        _check_pool(walk, (*path, "pool"), upstream.pool)
    seen: set[str] = set()
    for index, endpoint in enumerate(upstream.endpoints):
        url = (endpoint.url if isinstance(endpoint, EndpointSettings) else endpoint).removesuffix("/")
        if url in seen:
            walk.problem(
                (*path, "endpoints", index), "expected every endpoint once; use weight for a larger share", url
            )
        seen.add(url)


def _check_pool(walk: Walk, path: Path, pool: Pool) -> None:
    if walk.is_whole((*path, "command")) and find_program(pool.command[0]) is None:
        walk.problem((*path, "command", 0), missing(pool.command[0]), f'"{pool.command[0]}"')
    used = [word for word in PLACEHOLDERS if any(word in argument for argument in pool.command)]
    if not used:
        walk.warning((*path, "command"), 'has no "{port}", "{fd}" or "{socket}": the port is in its PORT variable only')
    elif len(used) > 1:
        walk.problem((*path, "command"), f"expected one of {', '.join(PLACEHOLDERS)}; got {', '.join(used)}")


def _check_route(walk: Walk, name: str, route: Route, upstreams: list[str]) -> None:
    path: Path = ("routes", name)
    if route.upstream not in upstreams and ("upstreams",) not in walk.broken:
        close = get_close_matches(route.upstream, upstreams, 1)
        rule = "expected the name of an upstream" + ("" if close else f": {', '.join(upstreams)}")
        walk.problem((*path, "upstream"), rule, f'"{route.upstream}"', close[0] if close else "")
    if walk.is_whole((*path, "match")):
        _check_path(walk, path, route)
        if reads_as_other(route.match.path):
            walk.warning((*path, "match", "path"), reads_as_other(route.match.path))
        try:
            Rule.compile(name, route.match)
        except ValueError as error:
            walk.problem((*path, "match", "headers"), str(error))
    _check_fields(walk, path, route.set_headers, route.remove_headers, "headers")
    _check_fields(walk, path, route.set_response_headers, route.remove_response_headers, "response_headers")


def _check_rate_limits(walk: Walk, name: str, route: Route) -> None:
    seen: set[str] = set()
    for index, limit in enumerate(route.rate_limits):
        path: Path = ("routes", name, "rate_limits", index)
        key, rule = broken_rule(limit)
        if rule:
            walk.problem((*path, key), rule)
        if limit.name in seen:
            walk.problem((*path, "name"), "expected every name once", f'"{limit.name}"')
        seen.add(limit.name)
        if _lacks_parameter(limit.key, route):
            walk.problem((*path, "key"), "expected a parameter of the route's path", f'"{limit.key}"')


def _check_fairness(walk: Walk, settings: Settings) -> None:
    """A path parameter must be one of a route that leads here; routes that have none share as one."""
    for name, upstream in settings.upstreams.items():
        routes = {each: route for each, route in settings.routes.items() if route.upstream == name}
        _check_key(walk, ("upstreams", name, "queue", "fairness_key"), upstream.queue.fairness_key, routes)
        if upstream.balance == "ring_hash":
            _check_key(walk, ("upstreams", name, "hash_key"), upstream.hash_key, routes)


def _check_key(walk: Walk, path: Path, key: str | None, routes: Mapping[str, Route]) -> None:
    """A key may name a parameter that routes to the upstream have."""
    if key is None or not walk.is_whole(path) or not walk.is_whole(("routes",)):
        return
    lacking = [each for each, route in routes.items() if _lacks_parameter(key, route)]
    if routes and len(lacking) == len(routes):
        walk.problem(path, "expected a parameter of the path of a route that leads here", f'"{key}"')
    for each in lacking if len(lacking) < len(routes) else ():
        walk.warning(path, f"routes.{each} has no such parameter in its path, so all its requests share as one")


def _lacks_parameter(key: str, route: Route) -> bool:
    parameter = KeyReader.parse(key).parameter
    return bool(parameter) and f"{{{parameter}}}" not in route.match.path


def _check_class(walk: Walk, name: str, route: Route, settings: Settings) -> None:
    known = sorted({DEFAULT_CLASS, *settings.classes})
    if route.traffic_class not in known and ("classes",) not in walk.broken:
        close = get_close_matches(route.traffic_class, known, 1)
        rule = "expected the name of a class" + ("" if close else f": {', '.join(known)}")
        walk.problem(("routes", name, "class"), rule, f'"{route.traffic_class}"', close[0] if close else "")


def _check_path(walk: Walk, path: Path, route: Route) -> None:
    if route.strip_prefix is not None and route.rewrite is not None:
        walk.problem(path, 'expected one of "strip_prefix" and "rewrite", not both')
        return
    try:
        PathRewrite.compile(route.match, route.strip_prefix, route.rewrite)
    except ValueError as error:
        key = "rewrite" if route.strip_prefix is None else "strip_prefix"
        walk.problem((*path, key), str(error), f'"{route.rewrite or route.strip_prefix}"')


def _check_fields(walk: Walk, path: Path, to_set: Mapping[str, str], to_remove: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in to_set:
        if name.lower() in seen:
            walk.problem((*path, f"set_{what}", name), "expected every field once; names differ only in case")
        seen.add(name.lower())
    for index, name in enumerate(to_remove):
        if name.lower() in seen:
            walk.problem((*path, f"remove_{what}", index), f"is also in set_{what}, which replaces it already", name)


def _check_ties(walk: Walk, settings: Settings) -> None:
    matches = {name: route.match for name, route in settings.routes.items() if walk.is_whole(("routes", name, "match"))}
    try:
        RoutingTable.compile(matches)
    except RouteConflict as error:
        for tie in error.conflicts:
            walk.problem(("routes", tie.second, "match"), f"ties with routes.{tie.first}: both match {tie.request}")

"""``gateway explain FILE METHOD URL`` and ``gateway explain decision ID``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from msgspec import Struct
from rich.console import Console

from gateway.admission.classes import compile_classes
from gateway.admission.priority import ClassChooser
from gateway.admission.rate_settings import burst_of
from gateway.cli.configuration import load_or_exit
from gateway.config import shown
from gateway.core.errors import BadRequest
from gateway.routing.rewrite import PathRewrite
from gateway.routing.table import RoutingTable
from gateway.upstream.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.settings import Route, Settings, Upstream


class Request(NamedTuple):
    """What routing reads of a request; header names in lower case."""

    method: str
    host: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


def explain(  # noqa: PLR0913, PLR0917 - a command line
    file: Annotated[
        Path, typer.Argument(help='The configuration file ("-" is standard input), or the word "decision".')
    ],
    method: Annotated[str, typer.Argument(help="The request's method, in capitals; or the decision's id.")],
    url: Annotated[str, typer.Argument(help="http://host/path?query, or only a path.")] = "",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help='"name: value"; may be repeated.')] = None,
    admin: Annotated[str, typer.Option(help="Of a decision: whom to ask.", metavar="URL")] = "http://127.0.0.1:9090",
    ledger: Annotated[Path | None, typer.Option(help="Of a decision: the file to read instead.")] = None,
) -> None:
    """Say which route takes a request, why, and with which policies; or why a scaling decision was made.

    Ends with 1 when the request is refused, or nobody knows the decision.
    """
    if str(file) == "decision" and not url:
        # Only this one needs what the control process knows; the other starts faster without.
        from gateway.cli.explain_decision import explain_decision  # noqa: PLC0415

        explain_decision(method, admin, ledger)
        return
    if not url:
        message = "expected a URL after the method"
        raise typer.BadParameter(message)
    request = _request(method, url, header or [])
    settings = load_or_exit(file).settings
    table = RoutingTable.compile({name: route.match for name, route in settings.routes.items()})
    explanation = table.explain(request.host, request.path, request.method, request.headers)
    try:
        if explanation.refusal is not None:
            raise explanation.refusal
        answer = list(_answer(settings, table, str(explanation.winner), request))
    except BadRequest as refusal:
        answer = list(_refused(refusal))
    for name, why in explanation.losers:
        answer.append((f"not {name}", why))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for label, text in answer:
        console.print(f"{label:<30}", style="bold", end=" ")
        console.print(text)
    raise typer.Exit(1 if answer[0][0] == "refused" else 0)


def _request(method: str, url: str, lines: list[str]) -> Request:
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator:
            message = f'expected "name: value", got "{line}"'
            raise typer.BadParameter(message)
        headers.setdefault(name.strip().lower(), value.strip())
    target = url
    host = headers.get("host", "localhost")
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"http", "https"}:
        cut = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
        host = headers.get("host", rest[:cut])
        target = rest[cut:] if rest[cut : cut + 1] == "/" else f"/{rest[cut:]}"
    if not target.isascii():
        message = "expected the URL percent-encoded"
        raise typer.BadParameter(message)
    return Request(method, host, target, {**headers, "host": host})


def _refused(refusal: BadRequest) -> Iterator[tuple[str, str]]:
    yield "refused", f"{refusal.reason} ({refusal.status}): {refusal.title}"
    if refusal.detail:
        yield "detail", refusal.detail
    yield from refusal.fields.items()


def _answer(settings: Settings, table: RoutingTable, name: str, request: Request) -> Iterator[tuple[str, str]]:
    route = settings.routes[name]
    hit = table.match(request.host, request.path, request.method, request.headers)
    rewrite = PathRewrite.compile(route.match, route.strip_prefix, route.rewrite)
    yield "route", name
    yield "because", _because(route)
    for parameter, value in hit.parameters.items():
        yield f"parameter {parameter}", value
    yield "upstream", route.upstream
    yield from _upstream(settings.upstreams[route.upstream])
    yield "upstream path", request.target if rewrite is None else rewrite.apply(request.target, hit)
    prefix = "" if rewrite is None else rewrite.stripped(request.path)
    if prefix:
        yield "x-forwarded-prefix", prefix
        yield "rewrite_location", str(route.rewrite_location).lower()
    yield from _policies(settings, route, request)


def _because(route: Route) -> str:
    match = route.match
    words = [f"path {match.path}"]
    if match.hosts:
        words.insert(0, f"host {' or '.join(match.hosts)}")
    if match.methods:
        words.append(f"method {' or '.join(match.methods)}")
    words += [f"header {name}: {_value(name, value)}" for name, value in match.headers.items()]
    return ", ".join(words) + ": the most specific that matches"


def _upstream(upstream: Upstream) -> Iterator[tuple[str, str]]:
    for endpoint in upstream.endpoints:
        if isinstance(endpoint, EndpointSettings):
            yield "endpoint", f"{endpoint.url} (weight {endpoint.weight:g})"
        else:
            yield "endpoint", endpoint
    if upstream.pool is not None:
        least, most = upstream.pool.min, upstream.pool.most
        many = f"{least}" if least == most else f"{least} to {most}"
        yield "pool", f"{many} processes of: {' '.join(upstream.pool.command)}"


def _class(settings: Settings, route: Route, request: Request) -> Iterator[tuple[str, str]]:
    """The class of this request, and what else may choose it."""
    classes = compile_classes(settings.classes)
    usual = classes[route.traffic_class]
    header, accepts_priority = route.class_header, route.accept_priority
    chooser = ClassChooser(usual, classes, header=header, accepts_priority=accepts_priority)
    found = chooser.choose(request.headers, is_trusted=False)
    yield "class", found.name
    for name in ("band", "weight", "max_queue_share"):
        yield f"class.{name}", f"{getattr(found, name):g}"
    if found is not usual:
        yield "class because", f"priority: {request.headers['priority']}; without it {usual.name}"
    trusted = chooser.choose(request.headers, is_trusted=True)
    if trusted is not found:
        yield "class from a trusted proxy", trusted.name
    yield "class_header", "none" if header is None else f"{header}, from trusted proxies"
    yield "accept_priority", str(accepts_priority).lower()


def _policies(settings: Settings, route: Route, request: Request) -> Iterator[tuple[str, str]]:
    """Every policy in force, under the key that changes it."""
    limits, client = settings.gateway.limits, settings.gateway.timeouts
    upstream = settings.upstreams[route.upstream]
    yield "timeout", "none; every phase has its own" if route.timeout is None else str(route.timeout)
    for name in client.__struct_fields__:
        yield f"client timeouts.{name}", str(getattr(client, name))
    for name in upstream.timeouts.__struct_fields__:
        own = getattr(route.timeouts, name, None)
        whose = "upstream" if own is None else "route"
        yield f"{whose} timeouts.{name}", str(getattr(upstream.timeouts, name) if own is None else own)
    for name in limits.__struct_fields__:
        own = getattr(route.limits, name, None)
        yield f"limits.{name}", str(getattr(limits, name) if own is None else own)
    yield "stream_keepalive", "none" if route.stream_keepalive is None else str(route.stream_keepalive)
    yield from _class(settings, route, request)
    yield from _table("limit", upstream.limit)
    yield from _table("queue", upstream.queue)
    for limit in route.rate_limits:
        words = f"{limit.name}: {limit.rate} for each {limit.key}, burst {burst_of(limit):g}, cost {limit.cost:g}"
        yield "rate limit", f"{words}, {limit.mode}"
    yield "balance", upstream.balance + (f" by {upstream.hash_key}" if upstream.balance == "ring_hash" else "")
    yield "slow_start", str(upstream.slow_start)
    yield "panic_ratio", f"{upstream.panic_ratio:g}"
    for table in ("breaker", "outlier", "retry", "hedge", "health", "connections"):
        yield from _table(table, getattr(upstream, table))
    yield from _changes("header", route.set_headers, route.remove_headers)
    yield from _changes("response header", route.set_response_headers, route.remove_response_headers)


def _table(path: str, settings: Struct | None) -> Iterator[tuple[str, str]]:
    """Every key of a table and of the tables in it."""
    if settings is None:
        yield path, "none"
        return
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, Struct):
            yield from _table(f"{path}.{name}", value)
        else:
            yield f"{path}.{name}", "none" if value in {None, ""} else str(value)


def _changes(what: str, to_set: Mapping[str, str], to_remove: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, value in to_set.items():
        yield f"set {what}", f"{name}: {_value(name, value)}"
    for name in to_remove:
        yield f"remove {what}", name


def _value(name: str, value: str) -> str:
    return "***" if shown.is_secret(name) else value

"""Work grows with what is active, not with what is configured."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from gateway.control.endpoints import EndpointTable
from gateway.control.gathering import gather
from gateway.proxy.plane import MOST_REPORTED
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.totals import Totals
from gateway.upstream.tls import ClientTls
from tests.support.origin import running_origin
from tests.support.plane import running_gateway
from tests.support.running import until
from tests.support.upstreams import ask

if TYPE_CHECKING:
    from gateway.telemetry.snapshot import Snapshot
    from tests.support.plane import RunningGateway

MANY = 150


def _config(port: int, **options: Any) -> dict[str, Any]:
    upstream = {"endpoints": [f"http://127.0.0.1:{port}"], **options}
    return {
        "upstreams": {"origin": upstream, **{f"u{number}": upstream for number in range(MANY)}},
        "routes": {f"r{number}": {"upstream": f"u{number}", "match": {"path": f"/{number}"}} for number in range(MANY)},
    }


async def _reported(gateway: RunningGateway) -> list[Snapshot]:
    """Everything that is due, report by report."""
    gateway.plane.note_changes()
    found = []
    while gateway.plane.has_changes:
        found.append(gateway.plane.changes())
    return found


async def test_a_tick_looks_at_who_was_asked() -> None:
    """Of 151 upstreams none is looked at while nobody asks, and one when one was asked."""
    async with running_origin() as origin, running_gateway(origin.port, _config(origin.port)) as gateway:
        plane = gateway.plane
        await asyncio.sleep(0.1)
        assert plane.looked_at == 0
        await ask(gateway, path="/7")
        before = plane.looked_at
        await until(lambda: plane.looked_at >= before + 3)
        assert list(plane._awake) == ["u7"]


async def test_who_has_had_nothing_to_do_for_long_sleeps_again() -> None:
    """It is reported a last time, and what it counted is still there."""
    async with running_origin() as origin, running_gateway(origin.port, _config(origin.port)) as gateway:
        plane = gateway.plane
        await ask(gateway, path="/7")
        await _reported(gateway)
        await until(lambda: plane._groups["u7"].is_at_rest, within=8)
        await until(lambda: plane._awake["u7"].look_at > plane.clock.now() + 0.5)
        plane._awake["u7"].busy_at -= 100
        await until(lambda: not plane._awake)
        (last,) = await _reported(gateway)
        assert (list(last.gates), last.requests) == (["u7"], [("r7", "GET", 200, 1)])
        assert await _reported(gateway) == []
        assert gateway.snapshot().loads["u7"].dispatched == 1


async def test_a_report_is_about_what_may_have_changed() -> None:
    """At first about all, a hundred in each; then about who was asked; the sum is that of whole snapshots."""
    async with running_origin() as origin, running_gateway(origin.port, _config(origin.port)) as gateway:
        totals = Totals()
        first = await _reported(gateway)
        assert [len(one.gates) for one in first] == [MOST_REPORTED, MANY + 1 - MOST_REPORTED]
        for one in first:
            totals.update(0, one)
        for _ in range(3):
            await ask(gateway, path="/7")
        totals.sum()
        before = totals.summed
        (changed,) = await _reported(gateway)
        assert list(changed.gates) == ["u7"]
        totals.update(0, changed)
        found = totals.sum()
        assert totals.summed - before <= 3  # the upstream, its route, and requests that match none
        whole = Totals()
        whole.update(0, gateway.snapshot())
        expected = whole.sum()
        for name in ("requests", "gates", "request_seconds", "in_flight"):
            one, other = getattr(found, name), getattr(expected, name)
            assert (sorted(one) if isinstance(one, list) else one) == (
                sorted(other) if isinstance(other, list) else other
            )
        assert found.resilience.keys() == expected.resilience.keys()
        assert found.resilience["u7"].firsts == 3


async def test_the_control_process_looks_at_what_was_reported() -> None:
    """A report of one worker about one upstream is one look for trouble, whatever the number of workers."""
    async with running_origin() as origin, running_gateway(origin.port, _config(origin.port)) as gateway:
        table = EndpointTable(gateway.settings, rng=random.Random(1), log=structlog.get_logger(), send=lambda _: None)
        totals = Totals()
        for worker in range(16):
            totals.update(worker, gateway.snapshot())
        table.look(totals.living, totals.take_news())
        await _reported(gateway)
        await ask(gateway, path="/7")
        before = table.looked_at
        (changed,) = await _reported(gateway)
        totals.update(3, changed)
        table.look(totals.living, totals.take_news())
        assert table.looked_at - before == 1


async def test_a_scrape_prints_what_has_changed() -> None:
    """The second scrape makes a few pieces, and its text is that of one which makes them all."""
    async with running_origin() as origin, running_gateway(origin.port, _config(origin.port)) as gateway:
        totals = Totals()
        for one in await _reported(gateway):
            totals.update(0, one)

        def read() -> Any:
            return gather(gateway.settings, totals.sum(), [], {}, None)

        exposition = Exposition(read, totals.settle)
        _, first = exposition.answer("")
        assert exposition.rendered > 3 * MANY
        await ask(gateway, path="/7")
        for one in await _reported(gateway):
            totals.update(0, one)
        before = exposition.rendered
        _, second = exposition.answer("")
        assert exposition.rendered - before <= 6
        assert first != second
        fresh = Exposition(read).answer("")[1]
        ours = [line for line in second.decode().splitlines() if "process_" not in line]
        assert sorted(ours) == sorted(line for line in fresh.decode().splitlines() if "process_" not in line)
        assert len(ours) == len(set(ours))


async def test_a_scrape_is_made_in_small_steps() -> None:
    """No step makes more than one piece of the text."""
    async with running_origin() as origin, running_gateway(origin.port, _config(origin.port)) as gateway:
        exposition = Exposition(lambda: gather(gateway.settings, gateway.snapshot(), [], {}, None))
        scrape = exposition.scrape("application/openmetrics-text")
        before = 0
        for _ in scrape.steps():
            assert exposition.rendered - before <= 1
            before = exposition.rendered
        kind, body = scrape.answer()
        assert kind.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        assert body.count(b"# EOF") == 1


async def test_endpoints_share_one_tls_context() -> None:
    """Whoever connects first makes it, in a thread; however many come at once."""
    tls = ClientTls()
    contexts = await asyncio.gather(*(tls.context() for _ in range(8)))
    assert len({id(one) for one in contexts}) == 1
    assert tls.made == 1


@pytest.mark.parametrize("count", [20, 300])
async def test_one_open_breaker_does_not_make_choices_dear(count: int) -> None:
    """With one of many endpoints open, it is not asked, and those that are may be any of the others."""
    async with running_origin() as origin:
        urls = [f"http://10.0.{number >> 8}.{number & 255}:80" for number in range(count)]
        data = {"upstreams": {"origin": {"endpoints": urls, "breaker": {"mode": "enforce"}}}}
        async with running_gateway(origin.port, data) as gateway:
            group, now = gateway.plane._groups["origin"], gateway.plane.clock.now()
            group.set_breaker(urls[0], "force_open", "ada", "test", now)
            assert group.can_pass(now)
            picked = {group.pick((), "", now).url for _ in range(20 * count)}  # type: ignore[union-attr]  # there is one
            assert picked == set(urls[1:])
            group.set_breaker(urls[0], "reset", "ada", "test", now)
            assert {group.pick((), "", now).url for _ in range(20 * count)} == set(urls)  # type: ignore[union-attr]  # there is one

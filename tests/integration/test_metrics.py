"""The metrics are what Prometheus expects, complete from the first scrape, and no client can add to them."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import socket
import string
import subprocess
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.support.running import RunningGateway, running, series, toml, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="PROMTOOL IS MISSING: nothing was checked")
prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="PROMETHEUS IS MISSING: nothing was scraped")


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    """A gateway in front of an upstream that answers everything."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="x")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with running(toml(f"http://127.0.0.1:{runner.addresses[0][1]}")) as running_gateway:
        yield running_gateway
    await runner.cleanup()


async def _counted(gateway: RunningGateway, n: int) -> dict[str, float] | None:
    found = await gateway.metrics()
    return (
        found if sum(value for name, value in found.items() if name.startswith("gateway_requests_total")) >= n else None
    )


async def test_everything_configured_has_its_series_from_the_first_scrape(gateway: RunningGateway) -> None:
    """Route and upstream have all their series, as zeros, before the first request."""
    found = await gateway.metrics()
    for name in (
        'gateway_requests_total{code="200",method="GET",route="web"}',
        'gateway_requests_total{code="500",method="GET",route="web"}',
        'gateway_requests_total{code="503",method="GET",route="web"}',
        'gateway_request_duration_seconds_bucket{le="+Inf",outcome="success",route="web"}',
        'gateway_retries_denied_total{reason="budget",upstream="app"}',
        'gateway_errors_total{reason="body_too_large",route="web"}',
        'gateway_upstream_duration_seconds_count{upstream="app"}',
        'gateway_in_flight{upstream="app"}',
        'gateway_errors_total{reason="connect_refused",route="web"}',
        'gateway_bytes_total{direction="client_in"}',
        "gateway_worker_restarts_total",
        "gateway_connections_accepted_total",
        "gateway_upstream_connections_total",
    ):
        assert found[name] == 0, name
    assert found['gateway_workers{state="ready"}'] == 1
    assert found['gateway_endpoints{state="ready",upstream="app"}'] == 1


@promtool
async def test_promtool_has_nothing_to_say(gateway: RunningGateway) -> None:
    """Promtool check metrics prints nothing about the exposition."""
    await gateway.get()
    _, text = await until(lambda: gateway.ask("/metrics"))
    checked = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def test_requests_are_counted_once(gateway: RunningGateway) -> None:
    """Twenty requests are twenty in the counter, in the histogram and in the upstream's histogram."""
    for _ in range(20):
        await gateway.get()
    found = await until(lambda: _counted(gateway, 20))
    assert found['gateway_requests_total{code="200",method="GET",route="web"}'] == 20
    assert found['gateway_request_duration_seconds_count{outcome="success",route="web"}'] == 20
    assert found['gateway_request_duration_seconds_bucket{le="+Inf",outcome="success",route="web"}'] == 20
    assert found['gateway_upstream_duration_seconds_count{upstream="app"}'] == 20
    assert found['gateway_in_flight{upstream="app"}'] == 0


async def test_the_latency_of_good_answers_is_apart(gateway: RunningGateway) -> None:
    """A refusal is timed under its own outcome, and a method that came has the statuses that alerts are about."""
    await gateway.get()
    async with gateway.session.post(gateway.url, data=b"x", headers={"X-Request-Timeout-Ms": "0"}) as response:
        assert response.status == 504
    found = await until(lambda: _counted(gateway, 2))
    assert found['gateway_request_duration_seconds_count{outcome="success",route="web"}'] == 1
    assert found['gateway_request_duration_seconds_count{outcome="failed",route="web"}'] == 1
    assert found['gateway_requests_total{code="502",method="POST",route="web"}'] == 0


async def test_openmetrics_when_asked(gateway: RunningGateway) -> None:
    """Accept chooses OpenMetrics or text, and nonsense in it chooses text."""
    for accept, kind in (
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text; version=1.0.0"),
        ("text/plain", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=é..x;escaping=,;;", "application/openmetrics-text"),
        (";;;,=", "text/plain; version=0.0.4"),
    ):
        async with gateway.session.get(gateway.admin + "/metrics", headers={"Accept": accept}) as response:
            assert response.headers["Content-Type"].startswith(kind)
            assert (await response.text()).endswith("# EOF\n") == kind.startswith("application")


async def test_no_client_can_make_a_series(gateway: RunningGateway) -> None:
    """Ten thousand random paths, methods and hosts leave the number of series where one of each kind left it."""
    rng = random.Random(7)
    host, port = gateway.url.removeprefix("http://").split(":")

    def word() -> str:
        return "".join(rng.choices(string.ascii_letters + string.digits, k=8))

    async def storm(n: int, methods: list[str]) -> None:
        sent = 0  # a refused method ends its connection, so fewer than 50 go on some
        while sent < n:
            reader, writer = await asyncio.open_connection(host, int(port))
            batch = [
                f"{rng.choice(methods)} /{word()}?{word()} HTTP/1.1\r\nHost: {word()}.test\r\nX-{word()}: {word()}\r\n\r\n"
                for _ in range(50)
            ]
            for request in batch:
                writer.write(request.encode())
                sent += 1
                try:
                    async with asyncio.timeout(20):
                        head = await reader.readuntil(b"\r\n\r\n")
                        # To the end, or the gateway would rightly count a client that left.
                        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
                        await reader.readexactly(int(length.split(b":")[1]))
                except (asyncio.IncompleteReadError, ConnectionError):
                    break
            writer.close()

    def invented() -> list[str]:
        return [word().upper() for _ in range(20)]

    known = ["GET", "PUT", "DELETE", "OPTIONS"]
    for method in [*known, *invented()[:4], "MKCOL"]:
        await storm(1, [method])
    await until(lambda: _counted(gateway, 250))
    await asyncio.sleep(0.6)
    before = await gateway.metrics()
    await asyncio.gather(*(storm(1250, [*known, *invented(), "PROPFIND", "SEARCH"]) for _ in range(8)))
    await asyncio.sleep(0.6)
    after = await gateway.metrics()
    assert sum(after.values()) > sum(before.values())
    assert sorted(set(after) ^ set(before)) == []


@prometheus
async def test_a_real_prometheus_scrapes_it(gateway: RunningGateway, tmp_path: Path) -> None:
    """A Prometheus server finds the target up and the requests counted."""
    await gateway.get()
    target = gateway.admin.removeprefix("http://")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 250ms, scrape_timeout: 250ms}\n"
        f"scrape_configs: [{{job_name: gateway, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        "prometheus",
        *(f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def says(query: str) -> str | None:
        try:
            async with gateway.session.get(
                f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}
            ) as response:
                found = json.loads(await response.text())["data"]["result"]
        except (OSError, json.JSONDecodeError):
            return None
        return found[0]["value"][1] if found and found[0]["value"][1] != "0" else None

    try:
        assert await until(lambda: says('up{job="gateway"}')) == "1"
        assert await until(lambda: says('gateway_requests_total{route="web",code="200"}')) == "1"
    finally:
        server.terminate()
        await server.wait()
        server._transport.close()  # or it warns when it is collected after the loop


def test_series_reads_an_exposition() -> None:
    """The tests' own reader of expositions keeps names and values apart."""
    assert series('# HELP x y\nx{a="b c"} 1.0\ny 2\n') == {'x{a="b c"}': 1.0, "y": 2.0}

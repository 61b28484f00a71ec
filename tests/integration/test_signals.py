"""Signals of a running gateway: they rise with real load, say how old they are, and never hold anything up."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.client import connected
from tests.support.gate import Hold
from tests.support.plane import running_gateway
from tests.support.running import RunningGateway, running, toml, until
from tests.support.upstreams import ask, gateway_before, head

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.telemetry.snapshot import LoadSnapshot
    from tests.support.origin import Exchange, Origin
    from tests.support.plane import RunningGateway as Plane

NOBODY = "http://127.0.0.1:9"


async def page(gateway: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await gateway.ask("/v1/signals/app"))[1])
    return found


async def signals(gateway: RunningGateway) -> dict[str, float]:
    found: dict[str, float] = (await page(gateway))["signals"]
    return found


async def slowly(exchange: Exchange) -> None:
    await exchange.read_body()
    await asyncio.sleep(0.05)
    await exchange.answer(b"ok")


async def test_signals_rise_with_real_load(origin: Origin) -> None:
    """What clients ask for is what the signals say, and after a while of silence they say so too."""
    origin.default = slowly
    async with running(toml(f"http://127.0.0.1:{origin.port}")) as gateway:
        before = await page(gateway)
        assert (before["schema"], before["target"]) == (1, "app")
        await until(lambda: _is_true(gateway, lambda found: found["signal_valid"] == 1))

        async def client() -> None:
            for _ in range(40):
                await gateway.get()

        await asyncio.gather(*(client() for _ in range(4)))
        await until(lambda: _is_true(gateway, lambda found: found["load_slots"] > 0.5))
        found = await signals(gateway)
        assert found["service_time_s"] >= 0.05
        assert found["offered_rps"] > 5
        assert found["demand_slots"] >= found["load_slots"]
        assert found["replicas_ready"] == 1
        assert found["goodput_rps"] > 0
        assert found["slo_burn_60s"] == 0
        queue = json.loads((await gateway.ask("/queue"))[1])
        assert set(queue) == {"default/app"}
        assert set(queue["default/app"]) == {"Concurrency", "RequestCount"}
        metrics = await gateway.metrics()
        assert metrics['gateway_signal_valid{upstream="app"}'] == 1
        assert metrics['gateway_signal_service_time_seconds{upstream="app"}'] >= 0.05
        everything = json.loads((await gateway.ask("/v1/signals"))[1])
        assert set(everything["targets"]) == {"app"}
        assert (await gateway.ask("/v1/signals/nobody"))[0] == 404


async def _is_true(gateway: RunningGateway, condition: Any) -> bool:
    return bool(condition(await signals(gateway)))


async def test_every_series_is_there_from_the_start(origin: Origin) -> None:
    """Before the first request and before the first worker's word there are numbers, and they say that they are not valid."""
    async with running(toml(f"http://127.0.0.1:{origin.port}")) as gateway:
        metrics = await gateway.metrics()
        for name in ("demand_slots", "backlog_slots", "offered_per_second", "age_seconds", "valid", "pressure_ratio"):
            assert f'gateway_signal_{name}{{upstream="app"}}' in metrics
        assert 'gateway_scaling_desired_replicas{upstream="app"}' in metrics
        assert "nan" not in (await gateway.ask("/metrics"))[1].lower()


async def test_numbers_that_say_nothing_about_the_present_are_answered_with_503(origin: Origin) -> None:
    """The same JSON, but no scaler that reads a number alone takes it for fresh; all targets together are for people."""
    count = json.dumps([sys.executable, "-c", "import sys; sys.exit(1)"])
    scaling = (
        '[upstreams.app.scaling]\nmode = "observe"\n'
        f'actuator = {{ kind = "exec", command = ["true", "{{to}}"], count = {count} }}\n'
    )
    origin_url = f"http://127.0.0.1:{origin.port}"
    async with running(toml(origin_url) + scaling) as gateway:
        await until(lambda: _is_true(gateway, lambda found: found["seq"] > 1))
        code, text = await gateway.ask("/v1/signals/app")
        assert (code, json.loads(text)["signals"]["signal_valid"]) == (503, 0)
        assert "demand_slots" in json.loads(text)["signals"]
        assert (await gateway.ask("/v1/signals"))[0] == 200
    async with running(toml(origin_url)) as gateway:
        await until(lambda: _is_true(gateway, lambda found: found["signal_valid"] == 1))
        assert (await gateway.ask("/v1/signals/app"))[0] == 200


# the names of the table of signals; what is told of a target has all of them, from the start
NAMES = """
offered_rps admitted_rps shed_rps shed_rps_queue_full goodput_rps inflight queued queued_bytes oldest_age_s
queue_delay_p50_s queue_delay_p95_s queue_delay_p99_s service_time_s service_time_p95_s service_time_cv2
slots_per_replica limit replicas_ready replicas_warming replicas_draining replicas_standby replicas_quarantined
replicas_desired utilization demand_slots backlog_slots wanted_slots pressure desired_replicas desired_replicas_lower
desired_replicas_upper time_to_drain_s headroom_rps time_to_saturation_s slo_burn_5s slo_burn_60s slo_burn_600s
error_budget_left dependency_state scale_out_useful cold_start_p50_s cold_start_p90_s cost_rate cost_per_1k
signal_age_s signal_valid seq
"""


async def test_every_name_of_the_table_is_told(origin: Origin) -> None:
    """Before the first request and after it, with the words for the two that are states."""
    origin.default = slowly
    async with running(toml(f"http://127.0.0.1:{origin.port}")) as gateway:
        assert set(NAMES.split()) <= set(await signals(gateway))
        await until(lambda: _is_true(gateway, lambda found: found["signal_valid"] == 1))
        await asyncio.gather(*(gateway.get() for _ in range(20)))
        await until(lambda: _is_true(gateway, lambda found: found["service_time_p95_s"] >= 0.05))
        found = await page(gateway)
        assert set(NAMES.split()) <= set(found["signals"])
        told = found["signals"]
        assert told["desired_replicas_lower"] <= told["desired_replicas"] <= told["desired_replicas_upper"]
        assert told["wanted_slots"] == told["demand_slots"] + told["backlog_slots"]
        assert (found["scaling"]["useless"], found["scaling"]["dependency"]) == ("", "")
        metrics = await gateway.metrics()
        assert 'gateway_signal_desired_replicas_upper{upstream="app"}' in metrics
        assert metrics['gateway_signal_scale_out_useful{upstream="app"}'] == 1


async def test_a_stream_of_events() -> None:
    """One event a look with ids that grow; readers are few, and one that reads nothing is dropped."""
    async with running(toml(NOBODY)) as gateway:
        events = []
        async with gateway.session.get(gateway.admin + "/v1/signals/stream") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            async for line in response.content:
                if line.startswith((b"id:", b"data:")):
                    events.append(line)
                if len(events) >= 6:
                    break
        ids = [int(line[3:]) for line in events[::2]]
        assert ids == list(range(ids[0], ids[0] + 3))
        told = [json.loads(line[5:])["targets"]["app"] for line in events[1::2]]
        assert [one["seq"] for one in told] == list(range(told[0]["seq"], told[0]["seq"] + 3))
        assert all("demand_slots" in one["signals"] for one in told)


async def test_readers_of_the_stream_are_bounded() -> None:
    """The thirty-third gets 503 and when to come back; the others go on, and the admin address answers."""
    async with running(toml(NOBODY)) as gateway:
        host, port = urlsplit(gateway.admin).netloc.split(":")
        readers = []
        for _ in range(33):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /v1/signals/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            readers.append((await reader.readuntil(b"\r\n\r\n"), reader, writer))
        heads = [found.split(b" ", 2)[1] for found, *_ in readers]
        assert heads == [b"200"] * 32 + [b"503"]
        assert b"Retry-After" in readers[-1][0]
        assert (await gateway.ask("/healthz"))[0] == 200
        readers[0][2].close()

        async def again() -> bool:
            async with gateway.session.get(gateway.admin + "/v1/signals/stream") as response:
                return response.status == 200

        await until(again)
        for _, _, writer in readers:
            writer.close()


async def test_an_actuator_that_fails_is_said_counted_and_tried_again(origin: Origin, tmp_path: Path) -> None:
    """A command that ends badly stops no signal; when it works at last the decision is carried out."""
    mark = tmp_path / "works"
    script = "import pathlib, sys; sys.exit(0 if pathlib.Path(sys.argv[1]).exists() else 3)"
    command = json.dumps([sys.executable, "-c", script, str(mark), "{to}"])
    count = json.dumps([sys.executable, "-c", "print(1)"])
    scaling = (
        '[upstreams.app.scaling]\nmode = "live"\nmin = 2\nmax = 5\n'
        f'actuator = {{ kind = "exec", command = {command}, count = {count} }}\n'
    )
    admin = toml(f"http://127.0.0.1:{origin.port}").replace("[admin]", '[admin]\nledger = "/nowhere/at/all"')
    async with running(admin + scaling) as gateway:

        async def has_failed() -> bool:
            metrics = await gateway.metrics()
            return sum(value for name, value in metrics.items() if name.startswith("gateway_scaling_failures")) >= 2

        await until(has_failed)
        found = await page(gateway)
        assert found["scaling"]["problem"]
        assert found["scaling"]["under_way"] == 2
        assert found["signals"]["signal_valid"] == 1
        assert (await gateway.metrics())["gateway_scaling_ledger_errors_total"] >= 1
        assert [event["problem"] for event in gateway.events("the ledger cannot be written")]
        mark.touch()

        async def has_worked() -> bool:
            made = json.loads((await gateway.ask("/v1/decisions"))[1])["scaling"]
            return any(event["event"] == "carried_out" for one in made for event in one["fate"])

        await until(has_worked)


async def test_what_an_endpoint_says_of_its_load_is_kept_and_not_passed_on(origin: Origin) -> None:
    """Both forms of endpoint-load-metrics are taken away from every answer, the last text or JSON is remembered."""

    async def say(exchange: Exchange) -> None:
        await exchange.read_body()
        field = b'JSON {"cpu_utilization": 0.25, "named_metrics": {"queue": 3}}'
        await exchange.answer(b"ok", fields=b"Endpoint-Load-Metrics: %b\r\nendpoint-load-metrics-bin: CZqZ\r\n" % field)

    origin.default = say
    async with gateway_before([origin]) as gateway:
        for _ in range(4):
            answer = await ask(gateway)
            assert answer.status == 200
            assert not [name for name, _ in answer.fields if b"load-metrics" in name.lower()]
        endpoints = gateway.snapshot().resilience["origin"].endpoints
        said = [one.reported for url, one in endpoints.items() if url]
        assert said == [{"cpu_utilization": 0.25, "named_metrics.queue": 3.0}]


@pytest.mark.parametrize(("trusted", "repeats"), [("127.0.0.0/8", 2), ("10.0.0.0/8", 0)])
async def test_a_caller_that_is_trusted_says_that_it_tries_again(origin: Origin, trusted: str, repeats: int) -> None:
    """Envoy's word for it and ours count as retries from a trusted proxy, and as first tries from anybody else."""
    config = {"gateway": {"client_ip": {"trusted_proxies": [trusted]}}}
    said = (b"", b"X-Envoy-Attempt-Count: 2\r\n", b"X-Gateway-Attempt: 3\r\n", b"X-Envoy-Attempt-Count: 1\r\n")
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        for fields in said:
            await client.send(head("GET", fields=fields))
            await client.answer("GET")
        load = gateway.snapshot().loads["origin"]
        assert (load.first_tries, load.retries, load.good) == (4 - repeats, repeats, 4)


async def test_what_waits_is_shed_or_leaves_is_counted_once(origin: Origin) -> None:
    """Whatever becomes of a request it arrived once; who waited longer than the objective allows was served badly."""
    hold = Hold(origin)
    queue = {"max_length": 2, "max_wait": "3s"}
    slo = {"slo": {"wait": "100ms"}}
    async with gateway_before([origin], limit={"kind": "fixed", "initial": 1}, queue=queue, scaling=slo) as gateway:
        first = asyncio.create_task(ask(gateway))
        await until(lambda: gateway.in_flight == 1)
        async with connected(gateway.port) as leaving:
            await leaving.send(head("GET"))
            late = asyncio.create_task(ask(gateway))
            await until(lambda: _load(gateway).queued == 2)
            assert (await ask(gateway)).status == 503
            present = _load(gateway)
            assert (present.first_tries, present.dispatched, present.shed) == (4, 1, {"queue_full": 1})
        await until(lambda: _load(gateway).queued == 1)
        await until(lambda: _load(gateway).oldest_age > 0.1)
        hold.release(2)
        assert [(await one).status for one in (first, late)] == [200, 200]
        await gateway.settle()
        load = _load(gateway)
        assert (load.first_tries, load.dispatched, load.finished, load.good) == (4, 2, 2, 1)
        assert load.bad in {2, 3}  # shed, late, and the one that left if it had waited too long
        assert load.queued_time > 0.1
        assert load.in_flight_time == pytest.approx(load.service_time, rel=0.01)


async def test_the_time_of_a_stream_is_no_service_time(origin: Origin) -> None:
    """Of a tunnel and of an upload that trickles the service works for what is in flight beside the streams."""

    async def serve(exchange: Exchange) -> None:
        if exchange.request.value(b"upgrade"):
            await exchange.wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n")
            await exchange.wait_until_abandoned()
            return
        await exchange.read_body()
        await exchange.answer(b"ok")

    origin.default = serve
    async with gateway_before([origin]) as gateway:
        async with connected(gateway.port) as client:
            await client.send(head("GET", fields=b"Connection: Upgrade\r\nUpgrade: foo\r\n"))
            assert (await client.answer()).status == 101
            await until(lambda: _load(gateway).streams == 1)
            await asyncio.sleep(0.3)
        await gateway.settle()
        async with connected(gateway.port) as client:
            await client.send(head("POST", body=b"x" * 200_000)[:-100_000])
            await until(lambda: _load(gateway).streams == 1)
            await asyncio.sleep(0.3)
            await client.send(b"x" * 100_000)
            assert (await client.answer("POST")).status == 200
        await gateway.settle()
        load = _load(gateway)
        assert (load.finished, load.streams) == (2, 0)
        assert load.service_time == pytest.approx(load.in_flight_time, abs=0.05)


def _load(gateway: Plane) -> LoadSnapshot:
    return gateway.snapshot().loads["origin"]


async def test_an_upstream_that_fails_or_is_full_is_told_apart(origin: Origin) -> None:
    """A 500 is a failure, a 503 is one for want of capacity and so bad as well; a 404 is neither."""

    async def obey(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.answer(b"", status=exchange.request.target.removeprefix(b"/") + b" Whatever")

    origin.default = obey
    async with gateway_before([origin], retry={"attempts": 1}) as gateway:
        for status in (500, 503, 404):
            assert (await ask(gateway, path=f"/{status}")).status == status
        load = _load(gateway)
        assert (load.failed, load.bad, load.good, load.finished) == (2, 1, 1, 3)


async def test_a_lid_on_the_limit_ends_by_itself(origin: Origin) -> None:
    """While it lies on the limit fewer are in flight; the limit that signals see is the one beneath; nobody need lift it."""
    hold = Hold(origin)
    async with gateway_before([origin], limit={"kind": "fixed", "initial": 3}) as gateway:
        gateway.plane.capacity.set_cap("origin", 1, 0.2)
        asking = [asyncio.create_task(ask(gateway)) for _ in range(3)]
        await until(lambda: _load(gateway).queued == 2)
        assert gateway.in_flight == 1
        assert gateway.snapshot().gates["origin"].limit == 3
        await until(lambda: gateway.in_flight == 3)
        hold.release(3)
        assert [(await one).status for one in asking] == [200] * 3

"""A pool follows real demand: out when clients wait, in when they have gone, and never at a client's cost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.running import HEAD, RunningGateway, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SAMPLE = [*("python", "-m", "gateway.sample", "--port", "{port}"), *("--service-time", "100ms", "--workers", "2")]
POOL = f"""
[upstreams.app]
limit = {{ kind = "fixed", initial = 2, per = "endpoint" }}
slow_start = "0s"
[upstreams.app.queue]
max_wait = "5s"
[upstreams.app.pool]
command = {json.dumps(SAMPLE)}
min = 1
max = 3
starts = 2
drain_timeout = "3s"
ready = {{ path = "/healthz", timeout = "20s" }}
[routes.web]
upstream = "app"
"""
LIVE = """
[upstreams.app.scaling]
mode = "live"
max = 3
slots = 2
cold_start = "2s"
hold = "5s"
max_hold = "5s"
slo = { objective = 0.5 }  # half of them may wait: the burn of a minute does not hold the replicas that long
"""


def config(scaling: str = LIVE, admin: str = "") -> str:
    return HEAD.format(workers=1, drain="3s") + admin + POOL + scaling


async def replicas(gateway: RunningGateway, state: str = "ready") -> float:
    return (await signals(gateway))[f"replicas_{state}"]


async def signals(gateway: RunningGateway) -> dict[str, float]:
    found: dict[str, float] = json.loads((await gateway.ask("/v1/signals/app"))[1])["signals"]
    return found


async def decisions(gateway: RunningGateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await gateway.ask("/v1/decisions"))[1])["scaling"]
    return found


@asynccontextmanager
async def crowd(gateway: RunningGateway, size: int) -> AsyncIterator[list[int]]:
    """So many clients that each ask again as soon as they were answered; the statuses that they got."""
    codes: list[int] = []

    async def client() -> None:
        while True:
            codes.append((await gateway.get())[0])

    clients = [asyncio.create_task(client()) for _ in range(size)]
    try:
        yield codes
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@pytest.mark.timeout(120)
async def test_a_pool_grows_under_load_and_shrinks_after_it() -> None:
    """More clients than one process serves bring more processes; without them all but one go, after a trial each."""
    async with running(config()) as gateway:
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 1))
        async with crowd(gateway, 10) as codes:
            await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] >= 2))
        assert set(codes) <= {200, 503}  # shed while there were too few, and nothing else
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 1))
        made = await decisions(gateway)
        first, last = made[-1], made[0]
        assert (first["decision"]["from"], first["decision"]["mode"]) == (1, "live")
        assert first["fate"][0]["event"] == "carried_out"
        assert last["decision"]["to"] == 1
        assert [event["event"] for event in last["fate"]][:3] == ["trial", "trial_passed", "carried_out"]
        metrics = await gateway.metrics()
        assert metrics['gateway_signal_replicas{state="ready",upstream="app"}'] == 1
        assert metrics['gateway_scaling_desired_replicas{upstream="app"}'] == 1
        assert metrics['gateway_pool_ends_total{how="drained",upstream="app"}'] >= 1
        assert metrics['gateway_pool_ends_total{how="crashed",upstream="app"}'] == 0
        assert sum(value for name, value in metrics.items() if 'direction="out"' in name) >= 1


async def _is_true(gateway: RunningGateway, condition: Any) -> bool:
    return bool(condition(await signals(gateway)))


@pytest.mark.timeout(120)
async def test_a_silent_worker_keeps_every_replica() -> None:
    """While the only worker is stopped nobody knows the load, so nothing shrinks; when it speaks again it does."""
    async with running(config()) as gateway:
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 1))
        worker = await gateway.worker_pid()
        async with crowd(gateway, 10):
            await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] >= 2))
            os.kill(worker, signal.SIGSTOP)
        grown = await replicas(gateway)
        try:
            await until(lambda: _is_true(gateway, lambda found: found["signal_age_s"] > 20))
            assert await replicas(gateway) >= grown
            assert not [one for one in await decisions(gateway) if one["decision"]["to"] < one["decision"]["from"]]
            assert (await gateway.ask("/metrics"))[0] == 200
        finally:
            os.kill(worker, signal.SIGCONT)
        await until(lambda: _is_true(gateway, lambda found: found["signal_age_s"] < 2))
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 1))


async def order(gateway: RunningGateway, token: str = "s3cret", **words: Any) -> tuple[int, dict[str, Any]]:
    body = {"upstream": "app", "actor": "ada", "reason": "a sale", **words}
    fields = {"Authorization": f"Bearer {token}"}
    async with gateway.session.post(gateway.admin + "/v1/scaling", json=body, headers=fields) as response:
        return response.status, json.loads(await response.text())


@pytest.mark.timeout(120)
async def test_orders_by_hand_and_the_ledger(tmp_path: Path) -> None:
    """A pin brings its number, a restart new processes; all of it is in the ledger, and the next gateway goes on."""
    (tmp_path / "token").write_text("s3cret")
    admin = f'token_file = "{tmp_path}/token"\nledger = "{tmp_path}/ledger"\n'
    async with running(config(admin=admin)) as gateway:
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 1))
        assert (await order(gateway, token="wrong", action="unpin"))[0] == 401
        assert (await order(gateway, action="pin", replicas=9, **{"for": "1m"}))[0] == 400
        assert (await order(gateway, action="thaw"))[0] == 409
        code, said = await order(gateway, action="pin", replicas=2, **{"for": "10m"})
        assert (code, said["accepted"]["actor"]) == (202, "ada")
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 2))
        made = (await decisions(gateway))[0]
        assert (made["decision"]["reason"], made["decision"]["mode"]) == ("pinned", "pinned")
        identity = made["decision"]["id"]
        code, text = await gateway.ask(f"/v1/decisions/{identity}")
        assert (code, json.loads(text)["decision"]["id"]) == (200, identity)
        assert (await gateway.ask("/v1/decisions/app-99"))[0] == 404
        assert (await explain(identity, "--admin", gateway.admin))[0] == 0
        before = {process["pid"] for process in (await gateway.status())["upstreams"]["app"]["pool"]}
        assert (await order(gateway, action="restart"))[0] == 202
        await until(lambda: _has_renewed(gateway, before))
        assert [event["actor"] for event in gateway.events("scaling ordered by hand")] == ["ada", "ada"]
    code, text = await explain(identity, "--ledger", str(tmp_path / "ledger"))
    assert code == 0
    assert "scale app out, 1 -> 2 replicas" in text
    assert "was carried out" in text
    assert (await explain("app-99", "--ledger", str(tmp_path / "ledger")))[0] == 1
    async with running(config(admin=admin)) as gateway:
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 2))
        assert json.loads((await gateway.ask("/v1/signals/app"))[1])["scaling"]["mode"] == "pinned"


async def _has_renewed(gateway: RunningGateway, before: set[int]) -> bool:
    pool = (await gateway.status())["upstreams"]["app"]["pool"]
    ready = {process["pid"] for process in pool if process["state"] == "ready"}
    return len(ready) == len(before) and not ready & before


async def explain(identity: str, *options: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "explain", "decision", identity, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    text, _ = await process.communicate()
    process._transport.close()  # type: ignore[attr-defined] # or it warns when it is collected after the loop
    return process.returncode, text.decode()


BOOT = "import runpy, time; time.sleep(3); runpy.run_module('gateway.sample', run_name='__main__', alter_sys=True)"


def slow_to_start(max_wait: str) -> str:
    """A pool whose processes take seconds to boot, before which requests may wait for so long."""
    slow = json.dumps(["python", "-c", BOOT, *SAMPLE[3:]])
    queue = f'max_wait = "{max_wait}"'
    return config(LIVE).replace(json.dumps(SAMPLE), slow).replace('max_wait = "5s"', queue)


@pytest.mark.timeout(120)
async def test_while_a_replica_starts_requests_wait_for_it_instead_of_being_refused() -> None:
    """Who may wait until it serves is held; where nobody may wait so long the standing queue is shed early, as ever."""
    refused = {}
    for max_wait in ("12s", "1s"):
        async with running(slow_to_start(max_wait)) as gateway:
            await until(lambda it=gateway: _is_true(it, lambda found: found["replicas_ready"] == 1))
            async with crowd(gateway, 14) as codes:
                await until(lambda it=gateway: _is_true(it, lambda found: found["replicas_warming"] > 0))
                before = codes.count(503)
                await until(lambda it=gateway: _is_true(it, lambda found: found["replicas_ready"] > 1))
                refused[max_wait] = codes.count(503) - before
    assert refused["1s"] > 10
    assert refused["12s"] < refused["1s"] / 2


@pytest.mark.timeout(240)
async def test_a_limit_that_was_found_follows_the_replicas_of_a_pool(tmp_path: Path) -> None:
    """An adaptive limit that has found a line, and so holds traffic back, moves with the processes that come and go."""
    (tmp_path / "token").write_text("s3cret")
    adaptive = config(LIVE, f'token_file = "{tmp_path}/token"\n').replace(
        'limit = { kind = "fixed", initial = 2, per = "endpoint" }', "limit = { initial = 4 }"
    )
    async with running(adaptive) as gateway:
        await until(lambda: _is_true(gateway, lambda found: found["replicas_ready"] == 1))
        assert (await order(gateway, action="pin", replicas=1, **{"for": "10m"}))[0] == 202
        async with crowd(gateway, 60):
            await until(lambda: _has_moved(gateway, "line", "sharing", "silence"), within=90)
            wanted = 1
            while not await _has_moved(gateway, "replicas"):  # while a cut proves itself the limit may be open again
                wanted = 3 - wanted
                assert (await order(gateway, action="pin", replicas=wanted, **{"for": "10m"}))[0] == 202
                with suppress(TimeoutError):
                    await until(lambda: _has_moved(gateway, "replicas"), within=20)


async def _has_moved(gateway: RunningGateway, *reasons: str) -> bool:
    metrics = await gateway.metrics()
    names = (f'gateway_limit_changes_total{{reason="{reason}",upstream="app"}}' for reason in reasons)
    return any(metrics.get(name, 0) >= 1 for name in names)

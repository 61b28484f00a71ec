"""While no process or replica serves, requests wait for the first one; those that cannot be in time are refused at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.kubernetes import running_api_server
from tests.support.running import RunningGateway, pool_toml, running, toml, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Origin

SAMPLE = f"exec {sys.executable} -m gateway.sample --port {{port}} --service-time 1ms"


def gated(folder: Path) -> list[str]:
    """The sample service, which begins to start when there is a file named ``go``."""
    return ["sh", "-c", f"until [ -e {folder}/go ]; do sleep 0.05; done; {SAMPLE}"]


async def queued(gateway: RunningGateway) -> float:
    return (await gateway.metrics()).get('gateway_queued{class="default",upstream="app"}', 0.0)


async def holds(gateway: RunningGateway, n: int = 1) -> bool:
    return await queued(gateway) == n


@pytest.mark.parametrize(
    "more", ["", '[upstreams.app.limit]\nmode = "shadow"\n', '[upstreams.app.queue]\nmode = "shadow"\n']
)
async def test_requests_wait_for_the_first_process(tmp_path: Path, more: str) -> None:
    """From the first moment requests are held until a process is ready; the gateway is not ready meanwhile."""
    async with running(pool_toml(gated(tmp_path)) + more) as gateway:
        waiting = [asyncio.create_task(gateway.get(f"/{n}")) for n in range(5)]
        await until(lambda: holds(gateway, 5))
        assert (await gateway.ask("/readyz"))[0] == 503
        (tmp_path / "go").touch()
        assert [code for code, _ in await asyncio.gather(*waiting)] == [200] * 5
        assert (await gateway.ask("/readyz"))[0] == 200


@pytest.mark.parametrize("queue", ['mode = "off"', "max_length = 0"])
async def test_where_nobody_may_wait_nobody_does(tmp_path: Path, queue: str) -> None:
    """Without a queue the answer is at once that there is no endpoint."""
    async with running(pool_toml(gated(tmp_path)) + f"[upstreams.app.queue]\n{queue}\n") as gateway:
        code, text = await gateway.get()
        assert (code, json.loads(text)["reason"]) == (503, "no_endpoint")
        (tmp_path / "go").touch()


async def test_a_process_that_cannot_start_is_not_waited_for() -> None:
    """Who waits is turned away when the second start in a row has failed, and who comes then, with the next try's time."""
    async with running(pool_toml(["sh", "-c", "exit 3"])) as gateway:
        async with gateway.session.get(gateway.url) as response:
            assert response.status == 503
            assert (await response.json())["reason"] == "no_endpoint"
        await until(lambda: gateway.events("pool process quarantined"))
        rest = gateway.events("pool process quarantined")[0]["in_seconds"]

        async def is_told() -> bool:
            async with gateway.session.get(gateway.url) as response:
                assert (response.status, (await response.json())["reason"]) == (503, "no_endpoint")
                return int(response.headers["Retry-After"]) >= rest / 2

        await until(is_told)


async def test_the_death_of_the_only_process_is_waited_out() -> None:
    """After kill -9 of a pool's only process new requests wait for its successor."""
    command = ["python", "-m", "gateway.sample", "--port", "{port}", "--service-time", "1ms"]
    async with running(pool_toml(command)) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        pid = json.loads((await gateway.get())[1])["pid"]
        os.kill(pid, signal.SIGKILL)
        await until(lambda: gateway.events("pool process ended"))

        async def is_known() -> bool:
            return not (await gateway.status())["upstreams"]["app"]["endpoints"]

        await until(is_known)
        code, text = await gateway.get()
        assert code == 200
        assert json.loads(text)["pid"] != pid


def from_zero(folder: Path, more: str = "") -> str:
    return pool_toml(gated(folder), n=0).replace("min = 0", "min = 0\nmax = 2") + more


async def test_the_first_request_starts_the_first_process(tmp_path: Path) -> None:
    """With ``min = 0`` nothing runs and the gateway is ready; a request starts a process and waits for it."""
    async with running(from_zero(tmp_path)) as gateway:
        assert (await gateway.ask("/readyz"))[0] == 200
        assert (await gateway.status())["upstreams"]["app"]["pool"] == []
        waiting = asyncio.create_task(gateway.get())
        await until(lambda: holds(gateway))
        await until(lambda: _has_process(gateway))
        assert (await gateway.ask("/readyz"))[0] == 200
        (tmp_path / "go").touch()
        assert (await waiting)[0] == 200


async def _has_process(gateway: RunningGateway) -> bool:
    return len((await gateway.status())["upstreams"]["app"]["pool"]) == 1


async def test_who_cannot_be_in_time_hears_so_at_once(origin: Origin, tmp_path: Path) -> None:
    """A start takes 30 s by the settings: who has 5 s is refused on arrival and told when; it starts the replica all the same."""
    async with running_api_server() as api:
        api.create("shop", 0, ready=0)
        async with running(_cluster(origin, api, tmp_path)) as gateway:
            await until(lambda: _is_held(gateway))
            async with gateway.session.get(gateway.url, headers={"X-Request-Timeout-Ms": "5000"}) as response:
                found = await response.json()
                assert (response.status, found["reason"]) == (503, "deadline_unreachable")
                assert 20 <= found["observed"] <= 31
                assert found["allowed"] <= 5
                assert 20 <= int(response.headers["Retry-After"]) <= 45
            await until(lambda: api.replicas("shop") == 1)
            (decision,) = await until(lambda: gateway.events("scaling decision"))
            assert (decision["before"], decision["after"], decision["reason"]) == (0, 1, "first_request")


async def test_a_request_waits_for_the_first_replica_of_a_deployment(origin: Origin, tmp_path: Path) -> None:
    """No replica is ready: a request is held, asks for one, and goes on when the cluster says that it is ready."""
    async with running_api_server() as api:
        api.create("shop", 0, ready=0)
        async with running(_cluster(origin, api, tmp_path)) as gateway:
            await until(lambda: _is_held(gateway))
            waiting = asyncio.create_task(gateway.get())
            await until(lambda: api.replicas("shop") == 1)
            await until(lambda: holds(gateway))
            api.set_ready("shop", 1)
            assert (await waiting)[0] == 200


def _cluster(origin: Origin, api: Any, folder: Path) -> str:
    (folder / "kubeconfig").write_text(api.kubeconfig({"token": api.token}))
    actuator = f'{{ kind = "kubernetes", deployment = "shop", kubeconfig = "{folder}/kubeconfig" }}'
    scaling = f'[upstreams.app.scaling]\nmode = "live"\nmin = 0\nmax = 3\nactuator = {actuator}\n'
    return toml(f"http://127.0.0.1:{origin.port}") + scaling


async def _is_held(gateway: RunningGateway) -> bool:
    """Whether the worker was told that nobody serves: a request with no time at all is refused for that."""
    async with gateway.session.get(gateway.url, headers={"X-Request-Timeout-Ms": "50"}) as response:
        return response.status == 503 and (await response.json())["reason"] == "deadline_unreachable"

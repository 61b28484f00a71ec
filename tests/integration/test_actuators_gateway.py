"""A whole gateway that scales: from the configuration file to the number in a Deployment, or in a program's hand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.support.kubernetes import running_api_server
from tests.support.running import RunningGateway, running, toml, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.origin import Exchange, Origin


def scaled(origin: Origin, actuator: str, *, pin: int) -> str:
    """One upstream that is pinned to a number, so that a decision is certain to be made."""
    return (
        toml(f"http://127.0.0.1:{origin.port}")
        + f'[upstreams.app.scaling]\nmode = "pinned"\npin = {pin}\nmin = 1\nmax = 9\nactuator = {actuator}\n'
    )


async def page(gateway: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await gateway.ask("/v1/signals/app"))[1])
    return found


async def test_a_pin_becomes_the_number_of_a_deployment(origin: Origin, tmp_path: Path) -> None:
    """By kubeconfig and TLS; the signals then tell what the Deployment tells."""
    async with running_api_server() as api:
        api.create("shop", 2, ready=2)
        (tmp_path / "kubeconfig").write_text(api.kubeconfig({"token": api.token}))
        actuator = f'{{ kind = "kubernetes", deployment = "shop", kubeconfig = "{tmp_path}/kubeconfig" }}'
        async with running(scaled(origin, actuator, pin=5)) as gateway:
            await until(lambda: api.replicas("shop") == 5)
            api.set_ready("shop", 4)

            async def tells() -> bool:
                signals = (await page(gateway))["signals"]
                return (signals["replicas_ready"], signals["replicas_warming"]) == (4, 1)

            await until(tells)


async def test_a_command_has_the_last_word_of_a_pin(origin: Origin, tmp_path: Path) -> None:
    """kind = "exec", with a count: what was asked for is what the count says afterwards."""
    file = tmp_path / "count"
    file.write_text("2")
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", str(file), "{to}"]
    count = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", str(file)]
    actuator = f'{{ kind = "exec", command = {json.dumps(command)}, count = {json.dumps(count)} }}'
    async with running(scaled(origin, actuator, pin=6)) as gateway:
        await until(lambda: file.read_text() == "6")

        async def tells() -> bool:
            return bool((await page(gateway))["signals"]["replicas_ready"] == 6)

        await until(tells)


KEY = b"a key of sufficient length"


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Somebody who carries decisions out: its URL, and the decisions whose signature is right."""
    taken: list[dict[str, Any]] = []

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        if request.headers["webhook-signature"] != f"v1,{wanted}":
            return web.Response(status=403)
        taken.append(json.loads(body))
        return web.Response(status=204)

    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/decisions", taken
    finally:
        await runner.cleanup()


async def slowly(exchange: Exchange) -> None:
    await exchange.read_body()
    await asyncio.sleep(0.1)
    await exchange.answer(b"ok")


async def test_real_load_becomes_a_signed_message_that_is_carried_out(origin: Origin, tmp_path: Path) -> None:
    """Nobody counts behind a webhook, so the endpoints are the replicas: the signals are valid before any decision."""
    origin.default = slowly
    (tmp_path / "secret").write_bytes(KEY)
    async with receiving() as (url, taken):
        scaling = (
            '[upstreams.app.limit]\nkind = "fixed"\ninitial = 2\n[upstreams.app.scaling]\nmode = "live"\nmax = 4\n'
            f'actuator = {{ kind = "webhook", url = "{url}", secret_file = "{tmp_path}/secret" }}\n'
        )
        async with running(toml(f"http://127.0.0.1:{origin.port}") + scaling) as gateway:

            async def is_valid() -> bool:
                found = (await page(gateway))["signals"]
                return bool(found["signal_valid"] == 1 and found["replicas_ready"] == 1)

            await until(is_valid)
            assert not taken

            async def client() -> None:
                while not taken:
                    await gateway.get()

            await asyncio.gather(*(client() for _ in range(8)))
            assert (taken[0]["from"], taken[0]["mode"], taken[0]["target"]) == (1, "live", "app")
            assert 1 < taken[0]["to"] <= 4

            async def is_carried_out() -> bool:
                made = json.loads((await gateway.ask("/v1/decisions"))[1])["scaling"]
                return any(event["event"] == "carried_out" for event in made[-1]["fate"])

            await until(is_carried_out)

            async def is_told() -> bool:
                return bool((await page(gateway))["signals"]["replicas_desired"] == taken[-1]["to"])

            await until(is_told)


async def test_a_command_without_a_count_is_told_how_many_endpoints_there_are(origin: Origin, tmp_path: Path) -> None:
    """kind = "exec" with nothing to count by: it decides all the same."""
    file = tmp_path / "asked"
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", str(file), "{to}"]
    async with running(scaled(origin, f'{{ kind = "exec", command = {json.dumps(command)} }}', pin=3)) as gateway:
        await until(file.exists)
        await until(lambda: file.read_text() == "3")

        async def tells() -> bool:
            found = (await page(gateway))["signals"]
            return (found["replicas_ready"], found["replicas_desired"], found["signal_valid"]) == (1, 3, 1)

        await until(tells)

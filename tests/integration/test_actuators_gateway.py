"""A whole gateway that scales: from the configuration file to the number in a Deployment, or in a program's hand."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from tests.support.kubernetes import running_api_server
from tests.support.running import RunningGateway, running, toml, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Origin


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

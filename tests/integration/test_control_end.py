"""However the gateway ends, it says so, finishes what it can, and leaves no process and no port."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import tomllib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
import structlog
from aiohttp import web

from gateway.config.settings import Settings
from gateway.control.supervision import ControlProcess
from tests.support.running import is_alive, pool_toml, running, toml, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SAMPLE = ["python", "-m", "gateway.sample", "--port", "{port}", "--service-time", "1ms"]


@pytest.fixture
async def slow() -> AsyncIterator[str]:
    """An upstream that takes ``?ms=`` milliseconds."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(int(request.query.get("ms", "0")) / 1000)
        return web.Response(text="done")

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def is_open(url: str) -> bool:
    """Whether anybody listens there."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_ends_everything_in_order(number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM drains workers and pools, exits 0 and leaves no process and no port."""
    async with running(pool_toml(SAMPLE, n=2)) as gateway:
        await until(lambda: gateway.events("pool process ready")[1:])
        gateway.signal(number)
        assert await gateway.ended() == 0
        assert len(gateway.family) >= 5  # a worker, two wardens, two commands
        await until(lambda: not any(map(is_alive, gateway.family)))
        assert not is_open(gateway.url)
        assert not is_open(gateway.admin)
        assert gateway.log[-1].endswith('"event":"stopped"}')


async def test_what_is_in_flight_finishes_while_readiness_already_fails(slow: str) -> None:
    """During the drain the request in flight is finished, readiness says draining, and the door is shut."""
    async with running(toml(slow)) as gateway:
        waiting = asyncio.create_task(gateway.get("/?ms=1500"))
        await until(lambda: _in_flight(gateway, 1))
        gateway.signal(signal.SIGTERM)
        await until(lambda: gateway.events("draining"))
        code, text = await gateway.ask("/readyz")
        assert (code, "draining" in text) == (503, True)
        await until(lambda: not is_open(gateway.url))
        assert not waiting.done()
        assert await waiting == (200, "done")
        assert await gateway.ended() == 0


async def _in_flight(gateway: object, n: int) -> bool:
    return (await gateway.status())["totals"]["in_flight"] == n  # type: ignore[attr-defined]


async def test_readiness_fails_before_the_doors_close(slow: str) -> None:
    """For ``shutdown_delay`` readiness says draining and everything is served as ever, on kept and on new connections."""
    config = toml(slow).replace("workers", 'shutdown_delay = "10m"\nworkers', 1)
    async with running(config) as gateway:
        async with aiohttp.ClientSession() as session:
            async with session.get(gateway.url) as response:
                assert response.status == 200
            gateway.signal(signal.SIGTERM)
            (event,) = await until(lambda: gateway.events("draining"))
            assert event["delay"] == 600.0
            code, text = await gateway.ask("/readyz")
            assert (code, json.loads(text)["reasons"]) == (503, ["draining"])
            for _ in range(3):
                async with session.get(gateway.url) as response:
                    assert (response.status, "Connection" in response.headers) == (200, False)
                assert (await gateway.get())[0] == 200
        gateway.signal(signal.SIGTERM)  # the second one does not wait
        assert await gateway.ended() == 130
        await until(lambda: not any(map(is_alive, gateway.family)))


async def test_after_the_delay_comes_the_drain(slow: str) -> None:
    """The delay ends by itself, and what is in flight then still finishes."""
    config = toml(slow).replace("workers", 'shutdown_delay = "200ms"\nworkers', 1)
    async with running(config) as gateway:
        waiting = asyncio.create_task(gateway.get("/?ms=1000"))
        await until(lambda: _in_flight(gateway, 1))
        gateway.signal(signal.SIGTERM)
        assert await waiting == (200, "done")
        assert await gateway.ended() == 0
        assert gateway.events("worker drained")[0]["finished"] is True


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_drain_loses_no_client_that_had_connected(slow: str, workers: int) -> None:
    """Clients who connect without end while the gateway drains are answered or refused by the kernel, and never cut off."""
    async with running(toml(slow, workers=workers)) as gateway:
        host, port = urlsplit(gateway.url).netloc.split(":")
        answered = lost = 0

        async def keep_asking() -> None:
            nonlocal answered, lost
            while True:
                try:
                    reader, writer = await asyncio.open_connection(host, int(port))
                except ConnectionRefusedError:
                    return
                try:
                    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    is_good = (await reader.read()).startswith(b"HTTP/1.1 200 ")
                except ConnectionError:
                    is_good = False
                finally:
                    writer.close()
                answered += is_good
                lost += not is_good

        clients = [asyncio.create_task(keep_asking()) for _ in range(20)]
        await until(lambda: answered > 100)
        gateway.signal(signal.SIGTERM)
        await asyncio.gather(*clients)
        assert lost == 0
        assert await gateway.ended() == 0


async def test_a_drain_is_bounded_by_its_timeout(slow: str) -> None:
    """A request longer than the drain timeout is broken off and the gateway still ends with 0."""
    async with running(toml(slow, drain="300ms")) as gateway:
        waiting = asyncio.create_task(gateway.get("/?ms=20000"))
        await until(lambda: _in_flight(gateway, 1))
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        with pytest.raises(aiohttp.ClientError):
            await waiting
        assert [event["finished"] for event in gateway.events("worker drained")] == [False]


async def test_the_second_signal_stops_at_once(slow: str) -> None:
    """A second Ctrl-C does not wait for the drain and exits 130."""
    async with running(toml(slow, drain="10m")) as gateway:
        waiting = asyncio.create_task(gateway.get("/?ms=20000"))
        await until(lambda: _in_flight(gateway, 1))
        gateway.signal(signal.SIGINT)
        await until(lambda: gateway.events("draining"))
        gateway.signal(signal.SIGINT)
        assert await gateway.ended() == 130
        with pytest.raises(aiohttp.ClientError):
            await waiting
        await until(lambda: not any(map(is_alive, gateway.family)))


async def test_a_killed_control_process_leaves_no_orphans() -> None:
    """After kill -9 of the control process its workers and pool processes are gone and the port is free."""
    # The shell stays between the warden and its children, as "uv run" or "npm start" would.
    command = ["sh", "-c", "sleep 1000 & python3 -m http.server {port} --bind 127.0.0.1; exit 3"]
    async with running(pool_toml(command, ready="/")) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        gateway.signal(signal.SIGKILL)
        assert await gateway.ended() == -9
        assert len(gateway.family) >= 5  # a worker, the warden, the shell, sleep, the server
        await until(lambda: not any(map(is_alive, gateway.family)))
        assert not is_open(gateway.url)


@pytest.mark.parametrize("ends", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT], [signal.SIGKILL]], ids=str)
async def test_what_left_the_process_group_does_not_outlive_us(ends: list[signal.Signals], tmp_path: Path) -> None:
    """A command that calls ``setsid``, and a daemon that has no parent any more, end with a stop, a kill, and kill -9."""
    told = tmp_path / "told"
    script = (
        f"(setsid sh -c 'trap \"touch {told}; exit\" TERM; sleep 1000 & wait' &) ; "
        "setsid python3 -m http.server {port} --bind 127.0.0.1 & wait"
    )
    async with running(pool_toml(["sh", "-c", script], ready="/", drain="500ms")) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        for number in ends:
            gateway.signal(number)
        await gateway.ended()
        assert len(gateway.family) >= 6  # a worker, the warden, two shells, sleep, the server
        await until(lambda: not any(map(is_alive, gateway.family)))
        if ends == [signal.SIGTERM]:
            assert told.exists(), "a stop is told to all of them before they are killed"


async def test_a_port_in_use_is_one_clear_line(slow: str) -> None:
    """A port that somebody has is said in one line with the address and what to do; exit status 1."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = toml(slow, workers=2).replace('listen = ["127.0.0.1:0"]', f'listen = ["127.0.0.1:{port}"]')
        async with running(config, until_ready=False) as gateway:
            assert await gateway.ended() == 1
            await until(lambda: gateway.log)
            hint = '(another process has it; "ss -ltnp" shows which)'
            assert gateway.log == [f"gateway: cannot listen on 127.0.0.1:{port}: Address already in use {hint}"]


async def test_a_second_gateway_on_the_same_port_is_refused(slow: str) -> None:
    """SO_REUSEPORT does not let a second gateway of the same user take half of the connections."""
    async with running(toml(slow, workers=2)) as first:
        taken = urlsplit(first.url).netloc
        async with running(
            toml(slow, workers=2).replace('["127.0.0.1:0"]', f'["{taken}"]'), until_ready=False
        ) as second:
            assert await second.ended() == 1
            assert "Address already in use" in "".join(second.log)


async def test_a_unix_socket_is_served_replaced_when_stale_and_removed_at_the_end(slow: str, tmp_path: Path) -> None:
    """A socket file left by a killed gateway is replaced; one that is served is not; a clean end removes it."""
    path = tmp_path / "gateway.sock"
    config = toml(slow, workers=2).replace('["127.0.0.1:0"]', f'["127.0.0.1:0", "unix:{path}"]')
    async with running(config) as gateway:
        gateway.signal(signal.SIGKILL)
        await gateway.ended()
    assert path.exists()
    async with running(config) as gateway:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://gateway.test/") as response,
        ):
            assert response.status == 200
        async with running(config, until_ready=False) as second:
            assert await second.ended() == 1
            assert "another process answers there" in "".join(second.log)
        assert path.exists()
    assert not path.exists()


async def test_a_worker_that_cannot_start_is_not_tried_for_ever(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first workers fail three times in a row, starting has failed; no page says that nothing is queued."""
    log = structlog.wrap_logger(structlog.testing.CapturingLogger())
    settings = msgspec.convert(tomllib.loads(toml(slow)), Settings, dec_hook=lambda kind, text: kind.parse(text))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    control = ControlProcess(settings, log=log)
    await control.start()
    assert await control.until_ready() is False
    statuses: dict[str, int] = {}
    async with aiohttp.ClientSession() as session:
        for page in ("/queue", "/v1/signals/app", "/readyz"):
            async with session.get(f"http://{control.admin_address}{page}") as response:
                statuses[page] = response.status
    await control.stop()
    assert set(statuses.values()) == {503}, statuses  # what is not known is not 0, and nobody may act on it

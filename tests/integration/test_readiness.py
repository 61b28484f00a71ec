"""What a newcomer's service answers to the question whether it is ready, and what the gateway says of that."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.support.running import HEAD, RunningGateway, pool_toml, running, until

if TYPE_CHECKING:
    from pathlib import Path

# Answers every GET with one status, however often, and writes a line for each: what a newcomer's own server does.
STATUS = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SOCKETS = """
import asyncio, sys, websockets
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1])):
        await asyncio.Event().wait()
asyncio.run(main())
"""


def _pool(name: str, script: Path, *arguments: str, more: str = "") -> str:
    command = json.dumps([sys.executable, str(script), "{port}", *arguments])
    return f'[upstreams.{name}.pool]\ncommand = {command}\n{more}\n[routes.{name}]\nupstream = "{name}"\nmatch = {{ path = "/{name}" }}\n'


@pytest.fixture
def status(tmp_path: Path) -> Path:
    script = tmp_path / "status.py"
    script.write_text(STATUS)
    return script


async def _process(gateway: RunningGateway, name: str = "app") -> dict[str, Any]:
    found: dict[str, Any] = (await gateway.status())["upstreams"][name]["pool"][0]
    return found


@pytest.mark.parametrize("answer", ["404", "400", "401", "302"])
async def test_whoever_answers_is_ready_when_no_path_was_written(status: Path, answer: str) -> None:
    """A service without a page at /, with ALLOWED_HOSTS, behind a login: clients get its own answer."""
    async with running(HEAD.format(workers=1, drain="2s") + _pool("app", status, answer)) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        await until(lambda: _answers(gateway, int(answer)))
        assert not gateway.events("pool process answers, and is not ready")


async def _answers(gateway: RunningGateway, status: int) -> bool:
    return (await gateway.get("/app", allow_redirects=False))[0] == status


async def test_a_service_that_speaks_only_websocket_is_ready(tmp_path: Path) -> None:
    """It is asked for a page, says that it has none, and gets its tunnels."""
    script = tmp_path / "sockets.py"
    script.write_text(SOCKETS)
    async with running(HEAD.format(workers=1, drain="2s") + _pool("app", script)) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        await until(lambda: _has_tunnel(gateway))


async def _has_tunnel(gateway: RunningGateway) -> bool:
    try:
        async with gateway.session.ws_connect(gateway.url + "/app") as socket:
            await socket.send_str("hello")
            return await socket.receive_str() == "hello"
    except aiohttp.WSServerHandshakeError:
        return False


async def test_who_is_not_ready_is_told_what_it_answered_and_what_to_set(status: Path) -> None:
    """In the log at its first answer and at the end, in the status and in /readyz; the reason stays over restarts."""
    ready = 'ready = { path = "/healthz", timeout = "1s" }'
    async with running(HEAD.format(workers=1, drain="2s") + _pool("app", status, "404", more=ready)) as gateway:
        first = (await until(lambda: gateway.events("pool process answers, and is not ready")))[0]
        last = (await until(lambda: gateway.events("pool process not ready in time")))[0]
        for line in (first, last):
            assert (line["asked"], line["answered"]) == ("GET /healthz", "404 Not Found")
            assert "set path" in line["hint"]
            assert line["endpoint"].startswith("http://127.0.0.1:")
        await until(lambda: gateway.events("pool process restarts"))
        found = await until(lambda: _is_back(gateway))
        assert found["reason"] == "not_ready"
        assert found["detail"] == "404 Not Found; set path to a page that there is"
        code, text = await gateway.ask("/readyz")
        assert code == 503
        assert json.loads(text)["upstreams"]["app"] == {
            "ready": False,
            "endpoints": 0,
            "up": 0,
            "remark": "no process of pool app is ready",
            "detail": "404 Not Found; set path to a page that there is",
        }


async def _is_back(gateway: RunningGateway) -> dict[str, Any] | None:
    process = await _process(gateway)
    return process if process["restarts"] and process["detail"] and process["state"] != "dead" else None


async def test_a_command_that_listens_elsewhere_is_told_where_to_listen(tmp_path: Path) -> None:
    """The newcomer's own port: nobody answers at ours, and the line says what the command must use."""
    script = tmp_path / "status.py"
    script.write_text(STATUS.replace("int(sys.argv[1])", "0"))
    config = HEAD.format(workers=1, drain="2s") + _pool("app", script, "200", more='ready = { timeout = "1s" }')
    async with running(config) as gateway:
        line = (await until(lambda: gateway.events("pool process not ready in time")))[0]
        assert (line["asked"], line["answered"]) == ("GET /", "Connection refused (ECONNREFUSED)")
        assert "{port}, {fd} or {socket}" in line["hint"]


async def test_who_never_becomes_ready_does_not_fill_the_log(status: Path) -> None:
    """Three seconds of wrong answers are some thirty questions, of which the service logs a line each."""
    ready = 'ready = { path = "/healthz", timeout = "3s" }'
    async with running(HEAD.format(workers=1, drain="2s") + _pool("app", status, "404", more=ready)) as gateway:
        await until(lambda: gateway.events("pool process not ready in time"))
        asked = [event for event in gateway.events("pool process output") if "GET /healthz" in event["line"]]
        assert 5 < len(asked) < 45
        assert len(gateway.events("pool process answers, and is not ready")) == 1


async def test_a_connection_may_be_enough(status: Path) -> None:
    """kind = "tcp" asks nothing of the service, in pools and in active checks."""
    config = HEAD.format(workers=1, drain="2s")
    config += _pool("app", status, "500", more='ready = { kind = "tcp" }')
    config += '[upstreams.app.health]\nkind = "tcp"\ninterval = "100ms"\nfast_interval = "50ms"\n'
    async with running(config) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        await until(lambda: _answers(gateway, 500))
        asked = await until(lambda: [one for one in gateway.events("pool process output") if "GET" in one["line"]])
        assert {event["line"].split('"')[1] for event in asked} == {"GET /app HTTP/1.1"}


@pytest.mark.parametrize(
    ("answer", "ready"),
    [("401", 'statuses = ["2xx", "401"]'), ("204", 'path = "/up", host = "shop.example.com", headers = { x-a = "b" }')],
)
async def test_what_passes_is_the_operators_to_say(status: Path, answer: str, ready: str) -> None:
    """By statuses, by the name that is asked for, by fields."""
    config = HEAD.format(workers=1, drain="2s") + _pool("app", status, answer, more=f"ready = {{ {ready} }}")
    async with running(config) as gateway:
        await until(lambda: gateway.events("pool process ready"))


async def test_the_gateway_is_ready_while_it_can_serve_anything(status: Path) -> None:
    """A pool that is not ready is a remark beside an upstream that is; with nothing to serve it is a reason."""
    command = ["sh", "-c", "sleep 1000; {port}"]
    config = pool_toml(command)
    async with running(config) as gateway:
        code, text = await gateway.ask("/readyz")
        found = json.loads(text)
        assert (code, found["status"], found["reasons"]) == (503, "not ready", ["no process of pool app is ready"])
        assert found["remarks"] == []
    async with running(config + _pool("other", status, "200")) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        code, text = await gateway.ask("/readyz")
        found = json.loads(text)
        assert (code, found["status"], found["reasons"]) == (200, "ready", [])
        assert found["remarks"] == ["no process of pool app is ready"]
        assert {name: one["ready"] for name, one in found["upstreams"].items()} == {"app": False, "other": True}


async def test_endpoints_that_all_fail_their_checks_are_a_reason(status: Path) -> None:
    """Panic asks them all the same, but nothing is expected of it; the line says what was answered."""
    config = HEAD.format(workers=1, drain="2s") + _pool("app", status, "404")
    config += '[upstreams.app.health]\npath = "/healthz"\ninterval = "100ms"\nfast_interval = "50ms"\nfall = 2\n'
    async with running(config) as gateway:
        down = (await until(lambda: gateway.events("endpoint down")))[0]
        assert (down["answered"], "set path" in down["hint"]) == ("404 Not Found", True)

        async def is_not_ready() -> bool:
            code, text = await gateway.ask("/readyz")
            return code == 503 and json.loads(text)["reasons"] == ["every endpoint of app fails its checks"]

        await until(is_not_ready)
        await until(lambda: gateway.events("panic: all endpoints are asked"))
        assert (await gateway.get("/app"))[0] == 404

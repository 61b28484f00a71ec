"""What ordinary clients do passes through unchanged: requests, httpx, curl, websockets, and httpbin's own answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import requests
import websockets
from aiohttp import web

from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.support.plane import RunningGateway

BIG = {
    "gateway": {"timeouts": {"head": "5s", "body_idle": "5s", "keepalive": "5s"}, "limits": {"body": "64MiB"}},
    "upstreams": {"origin": {"timeouts": {"connect": "2s", "head": "10s", "idle": "10s"}}},
}


async def _echo(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "body": body.decode("latin-1"),
            "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers],
        }
    )


async def _redirect(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/echo?after=redirect")


async def _cookies(request: web.Request) -> web.StreamResponse:
    response = web.json_response(dict(request.cookies))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return response


async def _zipped(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b"squeezed " * 1000), headers={"Content-Encoding": "gzip"})


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number in range(20):
        await response.write(b"%d\n" % number)
    await response.write_eof()
    return response


async def _socket(request: web.Request) -> web.StreamResponse:
    found = web.WebSocketResponse(protocols=("chat",))
    await found.prepare(request)
    async for message in found:
        if message.type == web.WSMsgType.TEXT:
            await found.send_str("echo " + message.data)
        elif message.type == web.WSMsgType.BINARY:
            await found.send_bytes(message.data)
    return found


@pytest.fixture
async def site() -> AsyncIterator[RunningGateway]:
    """A gateway before an aiohttp application."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/echo", _echo)
    app.router.add_get("/redirect", _redirect)
    app.router.add_get("/cookies", _cookies)
    app.router.add_get("/zipped", _zipped)
    app.router.add_get("/stream", _stream)
    app.router.add_get("/socket", _socket)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    port = runner.addresses[0][1]
    try:
        async with running_gateway(port, BIG) as gateway:
            yield gateway
    finally:
        await runner.cleanup()


def _with_requests(base: str) -> dict[str, Any]:
    with requests.Session() as session:
        return {
            "echo": session.post(base + "/echo?a=%2F&b=ü", data={"x": "y z"}).json()["body"],
            "chunked": session.post(base + "/echo", data=iter([b"ab", b"", b"cd"])).json()["body"],
            "redirect": session.get(base + "/redirect").json()["target"],
            "cookies": (session.get(base + "/cookies").json(), session.get(base + "/cookies").json()),
            "zipped": session.get(base + "/zipped").text == "squeezed " * 1000,
            "stream": session.get(base + "/stream").text.split(),
            "big head": len(session.get(base + "/echo", headers={"X-Big": "x" * 7000}).json()["fields"]),
            "large": len(session.put(base + "/echo", data=b"z" * 3_000_000).json()["body"]),
            "head": (session.head(base + "/zipped").status_code, session.head(base + "/zipped").text),
            "delete": session.delete(base + "/echo").json()["method"],
        }


async def test_requests_speaks_through_it(site: RunningGateway) -> None:
    """Forms, chunked uploads, redirects, cookies, compressed and large bodies, big fields, HEAD."""
    told = await asyncio.to_thread(_with_requests, f"http://127.0.0.1:{site.port}")
    assert told["echo"] == "x=y+z"
    assert told["chunked"] == "abcd"
    assert told["redirect"] == "/echo?after=redirect"
    assert told["cookies"] == ({}, {"first": "1", "second": "2"})
    assert told["zipped"]
    assert told["stream"] == [str(number) for number in range(20)]
    assert told["large"] == 3_000_000
    assert told["head"] == (200, "")
    assert told["delete"] == "DELETE"


async def test_httpx_speaks_through_it(site: RunningGateway) -> None:
    """Concurrent requests on kept-alive connections, streamed both ways, all answered with their own."""

    async def upload() -> AsyncIterator[bytes]:
        for number in range(50):
            yield b"%04d" % number

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.port}", follow_redirects=True) as client:
        answers = await asyncio.gather(*(client.get(f"/echo?n={number}") for number in range(100)))
        assert [answer.json()["target"] for answer in answers] == [f"/echo?n={number}" for number in range(100)]
        assert len((await client.post("/echo", content=upload())).json()["body"]) == 200
        assert (await client.get("/redirect")).json()["target"] == "/echo?after=redirect"
        assert (await client.get("/zipped")).text == "squeezed " * 1000
        async with client.stream("GET", "/stream") as response:
            assert len([line async for line in response.aiter_lines()]) == 20


async def _curl(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "10", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_speaks_through_it(site: RunningGateway) -> None:
    """HTTP/1.0, Expect: 100-continue, chunked uploads, ranges of bytes it does not know, path as is."""
    base = f"http://127.0.0.1:{site.port}"
    assert json.loads(await _curl("-0", base + "/echo"))["method"] == "GET"
    expecting = await _curl("-H", "Expect: 100-continue", "-d", "a" * 2000, base + "/echo")
    assert json.loads(expecting)["body"] == "a" * 2000
    chunked = await _curl("-H", "Transfer-Encoding: chunked", "-d", "pieces", base + "/echo")
    assert json.loads(chunked)["body"] == "pieces"
    as_is = await _curl("--path-as-is", base + "/echo?x=//..%2f%41")
    assert json.loads(as_is)["target"] == "/echo?x=//..%2f%41"
    assert "HTTP/1.1 404" in await _curl("-i", base + "/missing")


async def test_a_websocket_speaks_through_it(site: RunningGateway) -> None:
    """Text and binary messages, pings, a subprotocol, a large message, and a clean close."""
    async with websockets.connect(f"ws://127.0.0.1:{site.port}/socket", subprotocols=["chat"], max_size=None) as socket:
        assert socket.subprotocol == "chat"
        for number in range(20):
            await socket.send(f"message {number}")
            assert await socket.recv() == f"echo message {number}"
        await socket.send(bytes(2_000_000))
        assert await socket.recv() == bytes(2_000_000)
        await asyncio.wait_for(await socket.ping(), 5)
        assert ("client", "tunnel", 1) in site.snapshot().connections
    assert socket.close_code == 1000


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def _httpbin() -> Iterator[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own dependencies' deprecations
        from httpbin import app
    server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


CALLS: dict[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]] = {
    "get": lambda client: client.get("/get?a=1&a=2"),
    "post form": lambda client: client.post("/post", data={"k": "v"}),
    "post file": lambda client: client.post("/post", files={"f": b"content"}),
    "put json": lambda client: client.put("/put", json={"a": [1, 2]}),
    "patch": lambda client: client.patch("/patch", content=b"x"),
    "delete": lambda client: client.delete("/delete"),
    "status 418": lambda client: client.get("/status/418"),
    "status 304": lambda client: client.get("/status/304"),
    "redirects": lambda client: client.get("/relative-redirect/2"),
    "basic auth": lambda client: client.get("/basic-auth/u/p", auth=("u", "p")),
    "digest auth": lambda client: client.get("/digest-auth/auth/u/p", auth=httpx.DigestAuth("u", "p")),
    "cookies": lambda client: client.get("/cookies/set?a=b"),
    "gzip": lambda client: client.get("/gzip"),
    "deflate": lambda client: client.get("/deflate"),
    "bytes": lambda client: client.get("/bytes/5000?seed=1"),
    "stream": lambda client: client.get("/stream-bytes/5000?seed=1"),
    "range": lambda client: client.get("/range/100", headers={"Range": "bytes=10-19"}),
    "etag": lambda client: client.get("/etag/abc", headers={"If-None-Match": "abc"}),
    "cache": lambda client: client.get("/cache/60"),
    "encoding": lambda client: client.get("/encoding/utf8"),
    "drip": lambda client: client.get("/drip?numbytes=5&duration=0.2"),
    "anything": lambda client: client.get("/anything/%20a%2Fb;c=d?x=%00"),
    "headers": lambda client: client.get("/response-headers?A=1&A=2"),
}


async def test_httpbin_answers_the_same_with_and_without(subtests: Any) -> None:
    """Status, body and end-to-end fields of every answer are those that httpbin gives directly."""
    with _httpbin() as port:
        async with running_gateway(port, BIG) as gateway:
            for name, call in CALLS.items():
                with subtests.test(name):
                    told = []
                    for where in (port, gateway.port):
                        async with httpx.AsyncClient(
                            base_url=f"http://127.0.0.1:{where}",
                            follow_redirects=True,
                            headers={"Host": "site.example"},
                        ) as client:
                            told.append(_essence(await call(client)))
                    assert told[0] == told[1]


_OF_THE_HOP = {"connection", "date", "server", "via", "transfer-encoding", "content-length", "keep-alive"}
_OF_THE_PROXY = {
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Forwarded",
    "Via",
    "X-Request-Id",
    "Connection",
}


def _essence(response: httpx.Response) -> tuple[int, Any, list[tuple[str, str]]]:
    fields = [
        (name.lower(), value) for name, value in response.headers.multi_items() if name.lower() not in _OF_THE_HOP
    ]
    body: Any = response.content
    if response.headers.get("content-type") == "application/json" and body:
        body = response.json()
        if isinstance(body.get("headers"), dict):
            for name in (*_OF_THE_PROXY, "Authorization", "Content-Type"):  # nonces and boundaries are new each time
                body["headers"].pop(name, None)
            body.pop("origin", None)
            body.pop("url", None)
    if "digest" in str(response.request.url):
        fields = []
    return response.status_code, body, fields

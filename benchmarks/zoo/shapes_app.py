"""The service of the live shapes: an ordinary aiohttp application without any bound of its own.

python -m benchmarks.zoo.shapes_app PORT
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

_HOUR = 3600.0


async def _plain(_request: web.Request) -> web.Response:
    await asyncio.sleep(0.01)
    return web.Response(text="ok")


async def _events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: hello\n\n")
    await asyncio.sleep(_HOUR)
    return response


async def _socket(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for _ in response:
        pass
    return response


async def _sleep(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.match_info["seconds"]))
    return web.Response(text="ok")


async def _download(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(40_000_000))


async def _upload(request: web.Request) -> web.Response:
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    return web.Response(text=str(size))


async def _bug(_request: web.Request) -> web.Response:
    await asyncio.sleep(0.01)
    return web.Response(status=500, text="bug")


async def _later(_request: web.Request) -> web.Response:
    return web.Response(status=503, headers={"Retry-After": "120"}, text="later")


def main() -> None:
    """Serve until the end."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/plain", _plain)
    app.router.add_get("/events", _events)
    app.router.add_get("/socket", _socket)
    app.router.add_get("/sleep/{seconds}", _sleep)
    app.router.add_get("/download", _download)
    app.router.add_post("/upload", _upload)
    app.router.add_get("/bug", _bug)
    app.router.add_get("/later", _later)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()

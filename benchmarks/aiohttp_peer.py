"""The proxy that one writes with aiohttp in an hour, done fairly: uvloop, streaming, no limits, no decoding.

Run as ``python -m benchmarks.aiohttp_peer PORT ORIGIN_PORT``.
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

# RFC 9110 §7.6.1
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"},
)
_SKIPPED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class _Proxy:
    def __init__(self, origin: int) -> None:
        self._origin = f"http://127.0.0.1:{origin}"
        self._session: ClientSession

    async def open(self, app: web.Application) -> None:
        del app
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=60),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_SKIPPED,
            read_bufsize=2**18,
        )

    async def close(self, app: web.Application) -> None:
        del app
        await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP]
        body = request.content if request.body_exists else None
        async with self._session.request(
            request.method, self._origin + request.raw_path, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


def main() -> None:
    """Serve until told to stop."""
    port, origin = int(sys.argv[1]), int(sys.argv[2])
    uvloop.install()
    proxy = _Proxy(origin)
    app = web.Application(client_max_size=2**40)
    app.on_startup.append(proxy.open)
    app.on_cleanup.append(proxy.close)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, backlog=4096, keepalive_timeout=600)


if __name__ == "__main__":
    main()

"""Asks the API server, and says in our words what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
from msgspec import DecodeError, json

from gateway.actuators.kubernetes.objects import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from gateway.actuators.kubernetes.credentials import Credentials

_BAD: Final = 300
_UNAUTHORIZED: Final = 401
_LARGEST: Final = 8 * 1024 * 1024
"""Bytes of one answer or one line of a watch; etcd keeps no object beyond 1.5 MiB."""
_MERGE: Final = "application/merge-patch+json"  # RFC 7396

_Object = TypeVar("_Object")


class Refused(Exception):
    """The API server answered, and not with what was asked for."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


class Unreachable(Exception):
    """There was no answer, or none that is Kubernetes' language."""


class Client:
    """Speaks to one API server.

    ``credentials`` is called before the first request, and again after any that was not authorized or found nobody:
    what it reads may have been put right. ``timeout`` is in seconds and for each request that is not a watch.
    """

    def __init__(self, credentials: Callable[[], Credentials], *, timeout: float) -> None:
        self._find = credentials
        self._found: Credentials | None = None
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, kind: type[_Object], path: str, params: Mapping[str, str] | None = None) -> _Object:
        """The object at a path; Refused, Unreachable or ActuatorFailed (no credentials)."""
        return _decoded(kind, await self._ask("GET", path, params=params))

    async def merge(self, kind: type[_Object], path: str, patch: object) -> _Object:
        """Merge-patch the object at a path (RFC 7396) and give what has become of it; raises as :meth:`get`."""
        body, headers = json.encode(patch), {"Content-Type": _MERGE}
        return _decoded(kind, await self._ask("PATCH", path, data=body, headers=headers))

    async def follow(self, path: str, params: Mapping[str, str], *, silence: float) -> AsyncGenerator[bytes, None]:
        """The lines of a watch until the server ends it; Unreachable after so many seconds of silence."""
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout.total, sock_read=silence)
        try:
            async with self._request("GET", path, params=params, timeout=timeout) as response:
                if response.status >= _BAD:
                    raise self._refusal(response.status, await response.content.read(_LARGEST))
                rest = b""
                async for piece in response.content.iter_any():
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield line
                    if len(rest) > _LARGEST:
                        message = "a line of the watch is larger than any object can be"
                        raise Unreachable(message)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._lost(error) from error

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, path: str, **options: Any) -> bytes:  # noqa: ANN401 - handed on to aiohttp
        try:
            async with self._request(method, path, timeout=self._timeout, **options) as response:
                body: bytes = await response.content.read(_LARGEST)
                while not response.content.at_eof():
                    body += await response.content.read(_LARGEST)
                    if len(body) > _LARGEST:
                        message = f"the answer to {method} {path} is larger than {_LARGEST} bytes"
                        raise Unreachable(message)
                if response.status >= _BAD:
                    raise self._refusal(response.status, body)
                return body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._lost(error) from error

    def _request(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - aiohttp's own context manager
        if self._found is None:
            self._found = self._find()
        found = self._found
        if self._session is None:
            # proxies of the environment are not asked: who can see the token is the operator's word alone
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        token = found.token()
        headers = {"Accept": "application/json", "User-Agent": "gateway", **options.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self._session.request(
            method,
            found.server + path,
            headers=headers,
            ssl=found.tls if found.tls is not None else True,
            server_hostname=found.server_name,
            allow_redirects=False,
            **options,
        )

    def _refusal(self, code: int, body: bytes) -> Refused:
        if code == _UNAUTHORIZED:
            self._found = None
        try:
            status = json.decode(body, type=Status)
        except (DecodeError, UnicodeDecodeError):
            status = Status()  # an answer of something between us and the API server
        return Refused(code, status.reason, status.message[:300])

    def _lost(self, error: BaseException) -> Unreachable:
        self._found = None
        if isinstance(error, TimeoutError):
            return Unreachable("no answer in time")
        return Unreachable(str(error) or type(error).__name__)


def _decoded(kind: type[_Object], body: bytes) -> _Object:
    try:
        return json.decode(body, type=kind)
    except (DecodeError, UnicodeDecodeError) as error:
        message = f"the answer is no {kind.__name__}: {error}"
        raise Unreachable(message) from error

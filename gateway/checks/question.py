"""Asks a server once, and says in words what came back."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp

from gateway.http.why import UNREACHED, errno_of, tells_more, why

if TYPE_CHECKING:
    from gateway.checks.settings import Question
    from gateway.upstream.address import Address

_BAD: Final = 400
_SERVER_ERROR: Final = 500
_LARGEST: Final = 64 * 1024
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_AGENT: Final = "gateway-check"


class Finding(NamedTuple):
    """Whether it passed, what came back, and where it did not pass what to set; ``status`` is 0 without an answer."""

    has_passed: bool
    answered: str
    hint: str = ""
    status: int = 0

    def __str__(self) -> str:
        return f"{self.answered}; {self.hint}" if self.hint else self.answered


async def ask(address: Address, question: Question, timeout: float, name: str | None = None) -> Finding:  # noqa: ASYNC109 - it is part of what is found
    """Ask once, on a connection of its own: a kept one would not see that no new one can be made.

    ``name`` is the endpoint's name where its address is a number: in TLS and, unless the question has another one, in
    the Host field. Of a long answer 64 KiB are enough, of a page that the operator did not name its head.
    """
    try:
        async with asyncio.timeout(timeout):
            return await (_connect(address) if question.kind == "tcp" else _get(address, question, name))
    except TimeoutError:
        answered = f"no answer within {timeout:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        answered = _explain(error, is_file=bool(address.path))
    return Finding(has_passed=False, answered=answered)


def _explain(error: Exception, *, is_file: bool) -> str:
    """What came instead of an answer."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return why(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return why(error.os_error, is_file=is_file)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, OSError):
        return why(error, is_file=is_file)
    return "an answer that is not HTTP"


async def _connect(address: Address) -> Finding:
    if address.path:
        _, writer = await asyncio.open_unix_connection(address.path)
    else:
        writer = await _open(address)
    writer.close()
    return Finding(has_passed=True, answered="a connection")


async def _open(address: Address) -> asyncio.StreamWriter:
    first, *others = address.hosts
    try:
        return (await asyncio.open_connection(first, address.port))[1]
    except OSError as error:
        if not others or errno_of(error) not in UNREACHED:
            raise
        refused = error
    try:
        return (await asyncio.open_connection(others[0], address.port))[1]
    except OSError as error:
        raise tells_more(refused, error) from None


async def _get(address: Address, question: Question, name: str | None) -> Finding:
    first, *others = address.hosts
    try:
        return await _get_from(first, address, question, name)
    except aiohttp.ClientConnectorError as error:
        if not others or errno_of(error.os_error) not in UNREACHED:
            raise
        refused = error.os_error
    try:
        return await _get_from(others[0], address, question, name)
    except aiohttp.ClientConnectorError as error:
        raise tells_more(refused, error.os_error) from None


async def _get_from(host: str, address: Address, question: Question, name: str | None) -> Finding:
    connector = aiohttp.UnixConnector(address.path) if address.path else aiohttp.TCPConnector(force_close=True)
    authority = question.host or address._replace(host=name or address.host).authority
    fields = {
        "user-agent": _AGENT,
        **{key.lower(): value for key, value in question.headers.items()},
        "host": authority,
    }
    base = "http://localhost" if address.path else f"{address.scheme}://{address._replace(host=host).authority}"
    server_name = name or (address.host if host != address.host else None)
    async with (
        aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
        session.get(
            base + (question.path or "/"), allow_redirects=False, headers=fields, server_hostname=server_name
        ) as response,
    ):
        if question.path is not None:  # else it may be a page that never ends
            async for piece in response.content.iter_chunked(_LARGEST):
                if len(piece) >= _LARGEST:
                    break  # enough to know that it answers
        return judge(response.status, question)


def judge(status: int, question: Question) -> Finding:
    """Whether a status passes, and what to set where it should have."""
    phrase = _PHRASES.get(status, "")
    answered = f"{status} {phrase}".rstrip()
    if question.statuses:
        has_passed = f"{status}" in question.statuses or f"{status // 100}xx" in question.statuses
    else:
        has_passed = status < (_SERVER_ERROR if question.path is None else _BAD)
    return Finding(has_passed, answered, "" if has_passed else _hint(status, question), status)


def _hint(status: int, question: Question) -> str:
    """What an operator may set, so that this answer or another one passes."""
    if status == HTTPStatus.NOT_FOUND:
        return "set path to a page that there is"
    if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.MISDIRECTED_REQUEST} and question.host is None:
        return "set host to a name that the service serves"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f'set path to a page for everybody, headers, or statuses = ["2xx", "{status}"]'
    if status >= _SERVER_ERROR and question.path is None:
        return 'set path to a page that shows health, or kind = "tcp" where a connection is enough'
    return f'set path, or statuses = ["2xx", "{status}"] if this answer is good enough'

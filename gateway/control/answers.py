"""Answers of the admin address: bytes with the right fields around them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web
from msgspec import json

from gateway.control.connections import Connection

if TYPE_CHECKING:
    from gateway.control.orders import OrderRefused


def _plain(value: object) -> float:
    """Durations are seconds there."""
    if isinstance(value, float):
        return float(value)
    raise NotImplementedError(type(value))


_ENCODE: Final = json.Encoder(enc_hook=_plain).encode


def answer(body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """An answer that nobody may keep."""
    fields = {
        "Content-Type": kind,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **Connection.SERVER,
    }
    return web.Response(body=body, status=status, headers=fields)


def as_json(content: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Data as JSON."""
    return answer(_ENCODE(content), "application/json", status)


def refused(refusal: OrderRefused) -> web.Response:
    """An order that is not carried out, and what to do about it."""
    content = {"title": refusal.status.phrase, "status": refusal.status.value, "detail": refusal.detail}
    return answer(_ENCODE(content), "application/problem+json", refusal.status)

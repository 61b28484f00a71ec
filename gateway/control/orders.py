"""Orders by hand: who may give them, and what they must say.

Nothing is changed by GET, and nothing without the token of ``admin.token_file``, compared in constant time. Every
order says who gives it and why; both are kept with the transition and in the log.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, MsgspecError, Struct, json

from gateway.control.messages import BreakerAction, BreakerOrder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x20-\x7e]+$")]
LARGEST: Final = 4096
_SCHEME: Final = "bearer "


class OrderRefused(Exception):
    """An order that is not carried out: the status, and a sentence that says what to do."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class _Breaker(Struct, frozen=True, forbid_unknown_fields=True):
    upstream: Text
    action: BreakerAction
    actor: Text
    reason: Text
    endpoint: str = ""


class Orders:
    """Knows who may give orders; ``token_file`` is read at each order, so that a token can be changed while we run."""

    def __init__(self, token_file: str | None) -> None:
        self._token_file = token_file

    def authorize(self, authorization: str) -> None:
        """Raise :class:`OrderRefused` unless this ``Authorization`` field has the token."""
        if self._token_file is None:
            detail = "admin.token_file is not set in the configuration, so nothing can be changed here"
            raise OrderRefused(HTTPStatus.FORBIDDEN, detail)
        try:
            token = Path(self._token_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise OrderRefused(HTTPStatus.FORBIDDEN, "admin.token_file cannot be read") from None
        given = authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
        if not token or not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8")):
            raise OrderRefused(
                HTTPStatus.UNAUTHORIZED, 'expected "Authorization: Bearer TOKEN" with the token in admin.token_file'
            )


def read_breaker_order(body: bytes, endpoints: Mapping[str, Collection[str]]) -> BreakerOrder:
    """The order in a POST to /v1/breakers; raises :class:`OrderRefused`."""
    if len(body) > LARGEST:
        raise OrderRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an order has at most {LARGEST} bytes")
    try:
        order = json.decode(body, type=_Breaker)
    except MsgspecError as error:
        raise OrderRefused(HTTPStatus.BAD_REQUEST, f"not an order: {error}") from None
    if order.upstream not in endpoints:
        raise OrderRefused(HTTPStatus.NOT_FOUND, f"no such upstream; there are {', '.join(sorted(endpoints))}")
    if order.endpoint and order.endpoint not in endpoints[order.upstream]:
        known = ", ".join(sorted(endpoints[order.upstream]))
        raise OrderRefused(HTTPStatus.NOT_FOUND, f"no such endpoint of this upstream; there are {known}")
    return BreakerOrder(order.upstream, order.endpoint, order.action, order.actor, order.reason)

"""Who may give an order, and what it must say."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.orders import LARGEST, OrderRefused, Orders, read_breaker_order

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.control.messages import BreakerOrder

ENDPOINTS = {"app": ("http://127.0.0.1:1", "http://127.0.0.1:2")}
GOOD: dict[str, Any] = {"upstream": "app", "action": "force_open", "actor": "ada", "reason": "maintenance"}


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    return Orders(str(file))


def _breaker(orders: Orders, authorization: str, body: bytes, endpoints: dict[str, tuple[str, ...]]) -> BreakerOrder:
    orders.authorize(authorization)
    return read_breaker_order(body, endpoints)


def _body(**over: Any) -> bytes:
    return json.dumps({**GOOD, **over}).encode()


def test_an_order(orders: Orders) -> None:
    order = _breaker(orders, "Bearer s3cret", _body(endpoint="http://127.0.0.1:2"), ENDPOINTS)
    assert (order.upstream, order.endpoint, order.action) == ("app", "http://127.0.0.1:2", "force_open")
    assert (order.actor, order.reason) == ("ada", "maintenance")
    assert _breaker(orders, "bearer  s3cret ", _body(), ENDPOINTS).endpoint == ""


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Basic s3cret", "s3cret", "Bearer s3cret2", "Bearer é"]
)
def test_nothing_without_the_token(orders: Orders, given: str) -> None:
    with pytest.raises(OrderRefused) as refusal:
        _breaker(orders, given, _body(), ENDPOINTS)
    assert refusal.value.status == HTTPStatus.UNAUTHORIZED


def test_nothing_without_a_token_file(tmp_path: Path) -> None:
    for orders in (Orders(None), Orders(str(tmp_path / "missing"))):
        with pytest.raises(OrderRefused, match="token_file") as refusal:
            _breaker(orders, "Bearer s3cret", _body(), ENDPOINTS)
        assert refusal.value.status == HTTPStatus.FORBIDDEN


def test_an_empty_token_opens_nothing(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\n")
    with pytest.raises(OrderRefused):
        Orders(str(file)).authorize("Bearer ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"[]", HTTPStatus.BAD_REQUEST),
        (_body(action="explode"), HTTPStatus.BAD_REQUEST),
        (_body(actor=""), HTTPStatus.BAD_REQUEST),
        (_body(reason="line\nbreak"), HTTPStatus.BAD_REQUEST),
        (_body(more=1), HTTPStatus.BAD_REQUEST),
        (_body(upstream="other"), HTTPStatus.NOT_FOUND),
        (_body(endpoint="http://elsewhere"), HTTPStatus.NOT_FOUND),
        (b" " * (LARGEST + 1), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ],
)
def test_what_is_no_order(orders: Orders, body: bytes, status: HTTPStatus) -> None:
    with pytest.raises(OrderRefused) as refusal:
        _breaker(orders, "Bearer s3cret", body, ENDPOINTS)
    assert refusal.value.status == status

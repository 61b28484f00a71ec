"""Orders for scaling say what they mean, and are refused with what to do instead."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.orders import OrderRefused
from gateway.control.scaling.ledger import read_records
from gateway.control.scaling.orders import carry_out, read_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.control.scaling.conftest import Stage

WHO = {"upstream": "app", "actor": "ada", "reason": "a sale"}


def body(**words: Any) -> bytes:
    return json.dumps({**WHO, **words}).encode()


async def test_orders_are_carried_out(stage: Callable[..., Stage]) -> None:
    """A pin has a time, a mode a word, an order a number for once."""
    it = stage()
    targets = {"app": it.target}
    carry_out(read_order(body(action="pin", replicas=4, **{"for": "10m"}), targets), it.target)
    assert it.target.scaler.pinned == (4, it.clock.now() + 600.0)
    carry_out(read_order(body(action="unpin"), targets), it.target)
    assert it.target.scaler.pinned is None
    carry_out(read_order(body(action="order", replicas=5), targets), it.target)
    await it.live(5, 1.0)
    assert it.puppet.replicas.ready == 5
    assert it.changes() == [(1, 5, "ordered")]
    it.target.scaler.frozen_at = it.clock.now()
    carry_out(read_order(body(action="thaw"), targets), it.target)
    assert it.target.scaler.frozen_at is None
    carry_out(read_order(body(action="mode", mode="shadow"), targets), it.target)
    assert it.target.scaler.mode == "shadow"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ({"action": "explode"}, HTTPStatus.BAD_REQUEST, "not an order"),
        ({"action": "pin", "replicas": 4}, HTTPStatus.BAD_REQUEST, 'needs "for"'),
        ({"action": "pin", "for": "1m"}, HTTPStatus.BAD_REQUEST, 'needs "replicas"'),
        ({"action": "pin", "replicas": 4, "for": "soon"}, HTTPStatus.BAD_REQUEST, "not an order"),
        ({"action": "pin", "replicas": 11, "for": "1m"}, HTTPStatus.BAD_REQUEST, "from 1 to 10"),
        ({"action": "pin", "replicas": 4, "for": "0s"}, HTTPStatus.BAD_REQUEST, "at most 366d"),
        ({"action": "pin", "replicas": 4, "for": "367d"}, HTTPStatus.BAD_REQUEST, "at most 366d"),
        ({"action": "pin", "replicas": 4, "for": "999999999999999999d"}, HTTPStatus.BAD_REQUEST, "at most 366d"),
        ({"action": "pin", "replicas": 4, "for": -5}, HTTPStatus.BAD_REQUEST, "not an order|at most 366d"),
        ({"action": "pin", "replicas": 4, "for": 1e308}, HTTPStatus.BAD_REQUEST, "not an order|at most 366d"),
        ({"action": "order", "replicas": 0}, HTTPStatus.BAD_REQUEST, "from 1 to 10"),
        ({"action": "unpin", "replicas": 3}, HTTPStatus.BAD_REQUEST, 'takes no "replicas"'),
        ({"action": "mode"}, HTTPStatus.BAD_REQUEST, 'needs "mode"'),
        ({"action": "mode", "mode": "pinned"}, HTTPStatus.CONFLICT, 'action "pin"'),
        ({"action": "thaw"}, HTTPStatus.CONFLICT, "not frozen"),
        ({"action": "restart"}, HTTPStatus.CONFLICT, "pools"),
        ({"action": "unpin", "upstream": "other"}, HTTPStatus.NOT_FOUND, "there are app"),
        ({"action": "unpin", "actor": ""}, HTTPStatus.BAD_REQUEST, "not an order"),
    ],
)
async def test_what_is_refused(
    stage: Callable[..., Stage], words: dict[str, Any], status: HTTPStatus, said: str
) -> None:
    """Every refusal has its status and a sentence."""
    with pytest.raises(OrderRefused, match=said) as refusal:
        read_order(body(**words), {"app": stage().target})
    assert refusal.value.status == status


async def test_a_pin_cannot_be_half_made(stage: Callable[..., Stage]) -> None:
    """A time without bounds is refused before anything has changed, whoever asks for it."""
    it = stage()
    for seconds in (1e308, -5.0, 0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="366 days"):
            it.target.pin(5, seconds)
    await it.live(10, 1.0)
    assert (it.target.scaler.pinned, it.target.scaler.mode, it.puppet.replicas.ready) == (None, "live", 1)
    await it.ledger.stop()
    assert list(read_records(it.ledger._path)) == []


async def test_an_order_is_not_lost_without_a_word(stage: Callable[..., Stage]) -> None:
    """While a pin, a freeze or another owner stands above it, it is refused; a large one is reached in steps."""
    it = stage(ready=2, max=40)
    await it.live(10, 1.0)
    order = body(action="order", replicas=40)
    it.target.pin(2, 60.0)
    with pytest.raises(OrderRefused, match="unpin"):
        read_order(order, {"app": it.target})
    it.target.unpin()
    it.target.scaler.frozen_at = it.clock.now()
    with pytest.raises(OrderRefused, match="thaw"):
        read_order(order, {"app": it.target})
    it.target.thaw()
    it.target.scaler.owner = "hpa"
    with pytest.raises(OrderRefused, match="hpa scales it"):
        read_order(order, {"app": it.target})
    it.target.scaler.owner = None
    carry_out(read_order(order, {"app": it.target}), it.target)
    await it.live(20, 1.0)
    assert it.changes() == [(2, 8, "ordered"), (8, 32, "ordered"), (32, 40, "ordered")]


async def test_a_target_that_is_not_live_is_not_pinned(stage: Callable[..., Stage]) -> None:
    """Whoever wants that says so first."""
    with pytest.raises(OrderRefused, match="live") as refusal:
        read_order(body(action="order", replicas=3), {"app": stage(mode="shadow").target})
    assert refusal.value.status == HTTPStatus.CONFLICT

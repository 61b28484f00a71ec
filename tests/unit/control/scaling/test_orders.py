"""Orders for scaling say what they mean, and are refused with what to do instead."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.orders import OrderRefused
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


async def test_a_target_that_is_not_live_is_not_pinned(stage: Callable[..., Stage]) -> None:
    """Whoever wants that says so first."""
    with pytest.raises(OrderRefused, match="live") as refusal:
        read_order(body(action="order", replicas=3), {"app": stage(mode="shadow").target})
    assert refusal.value.status == HTTPStatus.CONFLICT

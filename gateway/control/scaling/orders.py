"""Orders for scaling: what they must say, and which of them make sense for a target."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, MsgspecError, Struct, json

from gateway.config.encoding import from_plain
from gateway.control.orders import LARGEST, OrderRefused, Text
from gateway.control.scaling.target import LONGEST_PIN
from gateway.core.units import Seconds
from gateway.scaling.settings import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.control.scaling.target import Target

Action = Literal["pin", "unpin", "thaw", "mode", "order", "restart"]


class ScalingOrder(Struct, frozen=True, forbid_unknown_fields=True, rename={"seconds": "for"}):
    """An order to one upstream; ``replicas`` with pin and order, ``for`` ("10m") with pin, ``mode`` with mode."""

    upstream: Text
    action: Action
    actor: Text
    reason: Text
    replicas: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    seconds: Seconds | None = None
    mode: Mode | None = None


def read_order(body: bytes, targets: Mapping[str, Target]) -> ScalingOrder:
    """The order in a POST to /v1/scaling; raises :class:`OrderRefused`, with what to do instead."""
    if len(body) > LARGEST:
        raise OrderRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an order has at most {LARGEST} bytes")
    try:
        order = json.decode(body, type=ScalingOrder, dec_hook=from_plain)
    except (MsgspecError, ValueError) as error:
        raise OrderRefused(HTTPStatus.BAD_REQUEST, f"not an order: {error}") from None
    target = targets.get(order.upstream)
    if target is None:
        raise OrderRefused(HTTPStatus.NOT_FOUND, f"no such upstream; there are {', '.join(sorted(targets))}")
    _check(order, target)
    return order


def _check(order: ScalingOrder, target: Target) -> None:
    settings = target.scaler.settings
    needed = {"pin": ("replicas", "seconds"), "order": ("replicas",), "mode": ("mode",)}.get(order.action, ())
    for key in ("replicas", "seconds", "mode"):
        if (getattr(order, key) is None) == (key in needed):
            rule = "needs" if key in needed else "takes no"
            name = "for" if key == "seconds" else key
            raise OrderRefused(HTTPStatus.BAD_REQUEST, f'"{order.action}" {rule} "{name}"')
    if order.replicas is not None and not settings.min <= order.replicas <= settings.max:
        raise OrderRefused(
            HTTPStatus.BAD_REQUEST, f"expected replicas from {settings.min} to {settings.max}, the bounds of scaling"
        )
    if order.action in {"pin", "order"} and settings.mode != "live":
        detail = f'the mode of this upstream is {settings.mode}; set it to "live" first'
        raise OrderRefused(HTTPStatus.CONFLICT, detail)
    if order.seconds is not None and not 0 < order.seconds <= LONGEST_PIN:
        raise OrderRefused(HTTPStatus.BAD_REQUEST, 'expected "for" above 0 and at most 366d')
    if order.action == "order":
        _check_number(target)
    if order.mode == "pinned" and settings.pin is None:
        raise OrderRefused(HTTPStatus.CONFLICT, 'the configuration names no number; the action "pin" takes one')
    if order.action == "thaw" and target.scaler.frozen_at is None:
        raise OrderRefused(HTTPStatus.CONFLICT, "it is not frozen")
    if order.action == "restart" and settings.actuator.kind != "pool":
        raise OrderRefused(HTTPStatus.CONFLICT, "only pools can be restarted from here")


def _check_number(target: Target) -> None:
    """A number for once is not lost without a word."""
    if target.scaler.pinned is not None:
        raise OrderRefused(HTTPStatus.CONFLICT, f"{target.scaler.pinned[0]} are pinned; unpin it first")
    if target.scaler.frozen_at is not None:
        raise OrderRefused(HTTPStatus.CONFLICT, "it is frozen; thaw it first")
    if target.scaler.owner is not None:
        raise OrderRefused(HTTPStatus.CONFLICT, f"{target.scaler.owner} scales it; order it there")


def carry_out(order: ScalingOrder, target: Target) -> None:
    """Do what a checked order says; ``restart`` is the pool's."""
    if order.action == "pin" and order.replicas is not None and order.seconds is not None:
        target.pin(order.replicas, float(order.seconds))
    elif order.action == "unpin":
        target.unpin()
    elif order.action == "thaw":
        target.thaw()
    elif order.action == "mode" and order.mode is not None:
        target.set_mode(order.mode)
    elif order.action == "order" and order.replicas is not None:
        target.scaler.order(order.replicas)

"""What the operator may say about the scaling of an upstream."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.units import Seconds

Mode = Literal["off", "observe", "shadow", "live", "pinned"]


class SloSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What good service is: a share of requests whose wait for admission is short."""

    wait: Annotated[Seconds, Meta(description="a longer wait for admission is a violation")] = Seconds(0.25)
    objective: Annotated[
        float, Meta(ge=0.5, le=0.99999, description="the share of requests that must be served within it")
    ] = 0.999


class PriceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What replicas cost, in any currency."""

    replica_hour: Annotated[
        float, Meta(ge=0, le=1_000_000, description="one replica for one hour; 0 = not counted")
    ] = 0.0
    budget_hour: Annotated[
        float | None, Meta(gt=0, le=1_000_000_000, description="no scale-out beyond so much an hour; none = no bound")
    ] = None


class ActuatorSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What carries decisions out; ``publish`` leaves that to whoever reads the signals."""

    kind: Annotated[
        Literal["pool", "kubernetes", "webhook", "exec", "publish"],
        Meta(description="pool, kubernetes, webhook, exec or publish (signals only)"),
    ] = "publish"
    namespace: Annotated[str, Meta(description="of the deployment (kubernetes)")] = "default"
    deployment: Annotated[str | None, Meta(description="its name (kubernetes)")] = None
    url: Annotated[str | None, Meta(description="where decisions are sent (webhook)")] = None
    secret_file: Annotated[str | None, Meta(description="the key that signs them (webhook)")] = None
    command: Annotated[tuple[str, ...], Meta(description="is run with {from} and {to} filled in (exec)")] = ()


class ScalingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How many replicas an upstream may have, and what they are for."""

    mode: Annotated[
        Mode, Meta(description="off, observe (signals), shadow (decide, act on nothing), live or pinned")
    ] = "observe"
    min: Annotated[int, Meta(ge=0, le=100_000, description="never fewer replicas")] = 1
    max: Annotated[int, Meta(ge=1, le=100_000, description="never more replicas")] = 10
    slo: Annotated[SloSettings, Meta(description="what good service is")] = SloSettings()
    price: Annotated[PriceSettings, Meta(description="what replicas cost")] = PriceSettings()
    actuator: Annotated[ActuatorSettings, Meta(description="what carries decisions out")] = ActuatorSettings()
    slots: Annotated[
        int, Meta(ge=1, le=100_000, description="requests one replica serves at once, until the limit has found out")
    ] = 8
    cold_start: Annotated[Seconds, Meta(description="from intent to ready, until it was measured")] = Seconds(30)
    hold: Annotated[Seconds, Meta(description="scale in only to what was enough for so long")] = Seconds(600)
    max_hold: Annotated[Seconds, Meta(description="reversals lengthen the hold up to this")] = Seconds(1200)
    max_starts: Annotated[int, Meta(ge=1, le=100_000, description="replicas that may be starting at once")] = 100
    max_step: Annotated[
        float, Meta(gt=1, le=1000, description="one scale-out multiplies by at most this, or adds four")
    ] = 4.0
    pin: Annotated[int | None, Meta(ge=0, le=100_000, description="the number of replicas while mode is pinned")] = None
    pin_for: Annotated[Seconds, Meta(description="how long the pin holds")] = Seconds(3600)
    fallback: Annotated[
        int | None, Meta(ge=0, le=100_000, description="at least so many replicas while signals are invalid")
    ] = None

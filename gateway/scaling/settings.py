"""What the operator may say about the scaling of an upstream."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.core.units import Seconds

if TYPE_CHECKING:
    from pathlib import Path

Argument = Annotated[str, Meta(extra={"format": "argument"})]

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
        Annotated[float, Meta(gt=0, le=1_000_000_000)] | None,
        Meta(description="no scale-out beyond so much an hour; none = no bound", examples=[1.2]),
    ] = None


class ActuatorSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What carries decisions out; ``publish`` leaves that to whoever reads the signals."""

    kind: Annotated[
        Literal["pool", "kubernetes", "webhook", "exec", "publish"],
        Meta(description="pool, kubernetes, webhook, exec or publish (signals only)"),
    ] = "publish"
    timeout: Annotated[
        Seconds, Meta(description="a decision is carried out within this long or has failed, repeats included")
    ] = Seconds(30)
    namespace: Annotated[str, Meta(description="where it is (kubernetes)", extra={"format": "object_name"})] = "default"
    resource: Annotated[
        Literal["deployment", "statefulset"], Meta(description="what is scaled (kubernetes): deployment or statefulset")
    ] = "deployment"
    deployment: Annotated[
        str | None,
        Meta(
            description="its name, also of a statefulset (kubernetes)",
            extra={"format": "object_name"},
            examples=["app"],
        ),
    ] = None
    kubeconfig: Annotated[
        str | None,
        Meta(
            description="how to reach the cluster (kubernetes); none = the service account of the pod we are in",
            extra={"format": "file"},
            examples=["kubeconfig.yaml"],
        ),
    ] = None
    context: Annotated[
        str | None, Meta(description="one of the kubeconfig's contexts; none = its current one", examples=["staging"])
    ] = None
    url: Annotated[
        str | None,
        Meta(
            description="where decisions are sent by POST (webhook)",
            extra={"format": "url"},
            examples=["https://scaler.example.com/decisions"],
        ),
    ] = None
    secret_file: Annotated[
        str | None,
        Meta(
            description="holds the key that signs them (webhook); whsec_… is taken as base64",
            extra={"format": "file"},
            examples=["webhook.secret"],
        ),
    ] = None
    ca_file: Annotated[
        str | None,
        Meta(
            description="PEM certificates that the receiver is checked by (webhook); none = the system's",
            extra={"format": "file"},
            examples=["ca.crt"],
        ),
    ] = None
    command: Annotated[
        tuple[Argument, ...],
        Meta(
            description="run with {from}, {to}, {target}, {id} and {reason} filled in, by no shell (exec)",
            examples=[["scale-app", "--replicas", "{to}"]],
        ),
    ] = ()
    count: Annotated[
        tuple[Argument, ...],
        Meta(
            description="prints how many replicas there are (exec); none = what was asked for last",
            examples=[["scale-app", "--count"]],
        ),
    ] = ()


_OF_KIND: Final = {
    "pool": (),
    "kubernetes": ("namespace", "resource", "deployment", "kubeconfig", "context"),
    "webhook": ("url", "secret_file", "ca_file"),
    "exec": ("command", "count"),
    "publish": (),
}
_NEEDED: Final = {"kubernetes": ("deployment",), "webhook": ("url", "secret_file"), "exec": ("command",)}
_PLACES: Final = frozenset({"from", "to", "target", "id", "reason"})
_PLACE: Final = re.compile(r"\{([a-z_]*)\}")


def broken_rules(settings: ActuatorSettings) -> dict[str, str]:
    """The keys of an actuator that do not fit the others, each with the rule that it breaks."""
    kind = settings.kind
    broken = {key: f'is missing; kind "{kind}" needs it' for key in _NEEDED.get(kind, ()) if not getattr(settings, key)}
    defaults = ActuatorSettings()
    for other, keys in _OF_KIND.items():
        for key in keys:
            if other != kind and getattr(settings, key) != getattr(defaults, key):
                broken[key] = f'belongs to kind "{other}"; kind is "{kind}"'
    if kind == "kubernetes" and settings.context is not None and settings.kubeconfig is None:
        broken["context"] = 'is one of the contexts of "kubeconfig", which is missing'
    if kind == "webhook" and settings.ca_file is not None and (settings.url or "").startswith("http://"):
        broken["ca_file"] = 'expected an https URL beside it; "url" begins with http://'
    if kind == "exec":
        unknown = {place for each in settings.command for place in _PLACE.findall(each)} - _PLACES
        if unknown:
            broken["command"] = f"expected {{{'}, {'.join(sorted(_PLACES))}}}; got {{{min(unknown)}}}"
        elif settings.command and not any("{to}" in each for each in settings.command):
            broken["command"] = 'expected "{to}" in it, or it cannot know how many replicas are wanted'
    return broken


def with_full_paths(settings: ActuatorSettings, folder: Path) -> ActuatorSettings:
    """The same actuator with the names of its files made absolute."""
    files = {key: getattr(settings, key) for key in ("kubeconfig", "secret_file", "ca_file")}
    return replace(settings, **{key: str(folder / name) for key, name in files.items() if name is not None})


class ScalingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How many replicas an upstream may have, and what they are for."""

    mode: Annotated[
        Mode, Meta(description="off, observe (signals), shadow (decide, act on nothing), live or pinned")
    ] = "observe"
    min: Annotated[int, Meta(ge=0, le=100_000, description="never fewer replicas; beside a pool its min")] = 1
    max: Annotated[int, Meta(ge=1, le=100_000, description="never more replicas; beside a pool its max")] = 10
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
    pin: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | None,
        Meta(description="the number of replicas while mode is pinned", examples=[4]),
    ] = None
    pin_for: Annotated[Seconds, Meta(description="how long the pin holds")] = Seconds(3600)
    fallback: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | None,
        Meta(description="at least so many replicas while signals are invalid", examples=[4]),
    ] = None

"""The policies by name, each with the one setting that it has for all stories."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.core.units import Seconds
from gateway.scaling.settings import ScalingSettings, SloSettings
from gateway.simulate.scaling.fed import Fed, Published
from gateway.simulate.scaling.ours import Ours, objective
from gateway.simulate.scaling.references import Clairvoyant, Hpa, Kpa, RayServe, Static, UwsgiBusyness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.simulate.scaling.world import Policy, Site

TARGET: Final = 0.7
"""Of a replica's slots, for HPA and KPA on in-flight and queue."""
FED_TARGET: Final = 0.9
"""The same on our signal, which has most of its headroom in it."""
_RAY: Final = 0.4
NAMES: Final = (
    "ours",
    "hpa",
    "hpa+signal",
    "kpa",
    "kpa+signal",
    "ray",
    "uwsgi",
    "static-peak",
    "static-mean",
    "oracle",
)


def settings_for(site: Site) -> ScalingSettings:
    """The defaults, told what a site is."""
    return ScalingSettings(
        mode="live",
        min=site.least,
        max=site.most,
        slots=site.slots,
        cold_start=Seconds(site.cold_start),
        slo=SloSettings(wait=Seconds(site.wait), objective=1 - site.risk),
    )


def make(name: str, site: Site, best: Sequence[int], settings: ScalingSettings | None = None) -> Policy:
    """A fresh policy; ``best`` is what the oracle says; KeyError for a name that is not in :data:`NAMES`."""
    settings = settings or settings_for(site)
    if name == "ours":
        return Ours(settings)
    if name in {"hpa+signal", "kpa+signal"}:
        published = Published()
        kind = Hpa if name == "hpa+signal" else Kpa
        return Fed(kind(FED_TARGET * site.slots, published), published, objective(settings))
    made: dict[str, Policy] = {
        "hpa": Hpa(TARGET * site.slots),
        "kpa": Kpa(TARGET * site.slots),
        "ray": RayServe(_RAY * site.slots),
        "uwsgi": UwsgiBusyness(),
        "static-peak": Static(max(best)),
        "static-mean": Static(ceil(sum(best) / len(best))),
        "oracle": Clairvoyant(best, site.cold_start),
    }
    return made[name]

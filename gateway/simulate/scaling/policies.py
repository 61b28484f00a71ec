"""The policies by name, each with the one setting that it has for all stories."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.core.units import Seconds
from gateway.scaling.settings import ScalingSettings, SloSettings
from gateway.simulate.scaling.fed import Fed, Published
from gateway.simulate.scaling.oracle import Planned
from gateway.simulate.scaling.ours import Ours, objective
from gateway.simulate.scaling.references import Clairvoyant, Hpa, Kpa, Later, RayServe, Static, UwsgiBusyness
from gateway.simulate.scaling.requests import FROM

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


def first_look(seed: int) -> int:
    """The second in which an autoscaler looks first, in [0, 14]: five seeds in a row are spread over all of them."""
    return 4 * seed % 15


def make(
    name: str, site: Site, best: Sequence[int], settings: ScalingSettings | None = None, *, seed: int = 0
) -> Policy:
    """A fresh policy; ``best`` is what the oracle says; KeyError for a name that is not in :data:`NAMES`.

    The seed says when HPA and KPA look, on raw numbers in the same seconds as on our signal.
    """
    settings = settings or settings_for(site)
    begin = first_look(seed)
    if name == "ours":
        return Ours(settings)
    if name in {"hpa+signal", "kpa+signal"}:
        published = Published()
        kind = Hpa if name == "hpa+signal" else Kpa
        return Fed(Later(kind(FED_TARGET * site.slots, published), begin), published, objective(settings))
    made: dict[str, Policy] = {
        "hpa": Later(Hpa(TARGET * site.slots), begin),
        "kpa": Later(Kpa(TARGET * site.slots), begin),
        "ray": RayServe(_RAY * site.slots),
        "uwsgi": UwsgiBusyness(),
        "static-peak": Static(max(best)),
        "static-mean": Static(ceil(sum(best) / len(best))),
        "oracle": Planned(best, site) if site.work.mean > FROM else Clairvoyant(best, site.cold_start),
    }
    return made[name]

"""Several policies through one trace, and all that is told of them: the same figures as data, table and page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from gateway.scaling.settings import ScalingSettings
from gateway.simulate.scaling.policies import make
from gateway.simulate.scaling.story import Ending, Story
from gateway.simulate.scaling.world import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.simulate.scaling.traces import Trace

SCHEMA = 1
"""The version of the data; a name never changes its meaning inside one version."""


class Contender(Struct, frozen=True):
    """A policy by its name in :data:`~gateway.simulate.scaling.policies.NAMES`, where it acts, and what it is told."""

    label: str
    policy: str
    site: Site
    settings: ScalingSettings


class Study(Struct, frozen=True):
    """What was lived through, and how each contender ended."""

    title: str
    trace: str
    site: Site
    seed: int
    seconds: int
    requests: int
    highest_rate: float
    """Requests in the busiest second."""
    needed: int
    """The most replicas that the oracle needs."""
    endings: list[Ending]
    notes: list[str]
    differences: list[str] = []

    def plain(self) -> dict[str, Any]:
        """The whole of it as plain data for JSON."""
        found = asdict(self)
        found["schema"] = SCHEMA
        site = asdict(self.site)
        site["work"] = self.site.work._asdict()
        found["site"] = site
        found["policies"] = [
            {
                "policy": ending.policy,
                "measures": ending.measures._asdict(),
                "curves": None if ending.curves is None else asdict(ending.curves),
            }
            for ending in found.pop("endings")
        ]
        return found


def study(  # noqa: PLR0913 - a story has many sides
    title: str,
    trace: Trace,
    contenders: Sequence[Contender],
    *,
    seed: int,
    peak: float | None,
    notes: Sequence[str] = (),
    on_progress: Callable[[str, int], None] | None = None,
) -> Study:
    """Let every contender live through the trace; ``on_progress`` hears its label and how many seconds are over."""
    endings = []
    first = story = Story(trace, contenders[0].site, seed, peak)
    for contender in contenders:
        if contender.site != story.site:
            # the peak is in replicas of the first one, so that all get the same requests
            story = Story(trace, contender.site, seed, peak)
        endings.append(
            story.live(
                contender.label,
                make(contender.policy, story.site, story.best, contender.settings, seed=seed),
                with_curves=True,
                on_progress=None if on_progress is None else _bound(on_progress, contender.label),
            )
        )
    return Study(
        title=title,
        trace=trace.name,
        site=first.site,
        seed=seed,
        seconds=len(first.best),
        requests=sum(first.load.arrivals),
        highest_rate=float(max(first.load.arrivals)),
        needed=max(first.unbounded),
        endings=endings,
        notes=[*notes, *_remarks(trace, first)],
    )


def _bound(on_progress: Callable[[str, int], None], label: str) -> Callable[[int], None]:
    def bound(seconds: int) -> None:
        on_progress(label, seconds)

    return bound


def _remarks(trace: Trace, story: Story) -> list[str]:
    """What a reader should know before believing a figure."""
    site, needed = story.site, max(story.unbounded)
    found = list(trace.notes)
    if needed > site.most:
        found.append(
            f"the peak needs {needed} replicas and max is {site.most}: no policy, the oracle included, can do without "
            "violations then"
        )
    if needed <= site.least:
        found.append(f"min, {site.least}, is always enough here, so no policy has much to decide")
    if trace.gaps:
        found.append(f"{trace.gaps} periods of {trace.step:g} s are not in the file and count as 0")
    if trace.step > 1:
        found.append(f"between counts {trace.step:g} s apart the rate is interpolated and requests are drawn by chance")
    return found

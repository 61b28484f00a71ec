"""Who asks: a traffic class and a fairness key, drawn by their share of the requests."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.admission.classes import DEFAULT_CLASS, TrafficClass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random


class Caller(NamedTuple):
    """What a request says of its client; the requests of one caller share one flow."""

    traffic_class: TrafficClass
    key: str = ""


ANYBODY: Final = Caller(TrafficClass(DEFAULT_CLASS))


class Crowd:
    """Callers who ask independently; ``shares`` are caller → its part of all requests, in any unit."""

    __slots__ = ("_bounds", "_callers", "_rng")

    def __init__(self, rng: Random, shares: Mapping[Caller, float]) -> None:
        self._rng = rng
        self._callers = list(shares)
        self._bounds = list(accumulate(shares.values()))

    def draw(self) -> Caller:
        """Who asks next."""
        if len(self._callers) == 1:
            return self._callers[0]
        return self._rng.choices(self._callers, cum_weights=self._bounds)[0]

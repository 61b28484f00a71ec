"""Classes of traffic: what goes first, and what shares with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


class TrafficClass(Struct, frozen=True):
    """A priority class: a strict ``band`` (0 goes first), and a ``weight`` among the classes of that band.

    ``max_queue_share`` is the part of the queue that the class may fill, in (0, 1].
    """

    name: str
    band: int = 1
    weight: float = 1.0
    max_queue_share: float = 1.0


class ClassSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A priority class as the operator writes it."""

    band: Annotated[int, Meta(ge=0, le=7, description="strict priority: 0 is served first")] = 1
    weight: Annotated[float, Meta(gt=0, description="share among the classes of the same band")] = 1.0
    max_queue_share: Annotated[float, Meta(gt=0, le=1, description="the part of the queue it may fill")] = 1.0


DEFAULT_CLASS: Final = "default"
"""The class of every route that names none; it exists whether it is written or not."""


def compile_classes(settings: Mapping[str, ClassSettings]) -> dict[str, TrafficClass]:
    """All classes by name."""
    written = {DEFAULT_CLASS: ClassSettings(), **settings}
    return {
        name: TrafficClass(name, found.band, found.weight, found.max_queue_share) for name, found in written.items()
    }

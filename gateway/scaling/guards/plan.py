"""What a guard sees and what it may do: a plan goes in, the same or a tamer plan comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from gateway.scaling.settings import ScalingSettings
    from gateway.scaling.vote import Vote
    from gateway.signals.signals import Signals


class Plan(NamedTuple):
    """From how many replicas to how many."""

    current: int
    target: int


class Mark(Struct, frozen=True, gc=False):
    """What one guard changed, and why."""

    guard: str
    before: int
    after: int
    reason: str


class Facts(NamedTuple):
    """What is known beside the signals when guards are asked."""

    signals: Signals
    settings: ScalingSettings
    ceilings: tuple[Vote, ...]
    """Of the analyzers: dependency, cost, gateway."""
    room: int | None = None
    """Replicas that memory and CPU of the machine allow; None = nobody knows."""
    tick: float = 5.0
    has_window: bool = True
    """Whether a whole window was seen since the start."""
    is_burning: bool = False
    is_frozen: bool = False
    pin: int | None = None
    is_paused: bool = False
    """Whether the number was set to 0 by hand."""
    owner: str | None = None
    """Somebody else who scales the same target, by name."""
    is_starving: bool = False
    """Whether the objective burns, or the load is well above that at the freeze."""
    is_restoring: bool = False
    """Whether the plan undoes a scale-in that did harm."""


class Change(NamedTuple):
    """A guard's answer: another target and its reason; the target itself when there is nothing to say."""

    target: int
    reason: str

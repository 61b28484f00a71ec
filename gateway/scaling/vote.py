"""What an analyzer says: so many replicas are wanted, or more than so many are useless."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Vote(Struct, frozen=True, gc=False):
    """One analyzer's opinion; of the ``want`` votes the highest wins, a ``ceiling`` is left to the guards."""

    analyzer: str
    replicas: int
    reason: str
    kind: Literal["want", "ceiling"] = "want"

"""What the control process knows at one moment, as plain data: the source of metrics and status."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from gateway.telemetry.snapshot import Snapshot


class ProcessReading(Struct, frozen=True):
    """One process of ours as the kernel sees it: resident memory, processor time, open files."""

    rss: int = 0
    cpu: float = 0.0
    fds: int = 0


class ScalingReading(Struct, frozen=True):
    """One upstream's signals by name; decisions by direction, reason and mode; vetoes by guard; failures by reason."""

    signals: dict[str, float]
    mode: str
    decisions: dict[tuple[str, str, str], int]
    vetoes: dict[str, int]
    failures: dict[str, int]


class LedgerReading(Struct, frozen=True):
    """How writing decisions down goes: attempts that failed, lines that were lost."""

    errors: int = 0
    dropped: int = 0


class Reading(Struct, frozen=True):
    """Everything that metrics are made of.

    ``routes`` and ``upstreams`` are the configured names: each has its series from the first scrape.
    ``workers`` counts workers by state, ``endpoints`` endpoints by upstream and state; ``processes`` are
    the living workers by number, ``cpu`` the processor time of all processes a worker number ever had.
    """

    routes: tuple[str, ...]
    upstreams: tuple[str, ...]
    snapshot: Snapshot
    restarts: int = 0
    workers: dict[str, int] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], int] = field(default_factory=dict)
    pool_ends: dict[tuple[str, str], int] = field(default_factory=dict)  # by upstream and how
    processes: dict[int, ProcessReading] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)
    scaling: Mapping[str, ScalingReading] = field(default_factory=dict)  # by upstream
    ledger: LedgerReading = LedgerReading()

"""What the control process and a worker say to each other."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from gateway.telemetry.reading import ProcessReading
from gateway.telemetry.snapshot import Decision, Snapshot
from gateway.upstream.settings import EndpointSettings

BreakerAction = Literal["force_open", "force_close", "reset"]


class BreakerOrder(Struct, frozen=True, tag=True):
    """Somebody sets a breaker by hand; an empty ``endpoint`` is that of the whole upstream."""

    upstream: str
    endpoint: str
    action: BreakerAction
    actor: str
    reason: str


class Configure(Struct, frozen=True, tag=True):
    """The first order: serve these settings (encoded) as worker ``number`` of ``workers``.

    ``name`` is the pseudonym of the whole gateway.

    ``endpoints`` are those that pools and names have now by the newest orders ``endpoint_orders``, ``down`` those that
    active checks found down, ``limits`` the worker's parts of fixed limits, ``remembered`` what limits had learned and
    how many seconds ago, all by upstream; ``orders`` are those given by hand that hold.
    """

    settings: bytes
    name: str
    number: int
    workers: int
    endpoints: dict[str, tuple[EndpointSettings, ...]] = field(default_factory=dict)
    endpoint_orders: dict[str, int] = field(default_factory=dict)
    down: dict[str, tuple[str, ...]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    orders: tuple[BreakerOrder, ...] = ()
    remembered: dict[str, tuple[dict[str, Any], float]] = field(default_factory=dict)


class Endpoints(Struct, frozen=True, tag=True):
    """From now on the upstream has these endpoints.

    ``order`` is this order's number, which grows; a snapshot says the newest that was obeyed. ``warm`` are the URLs of
    endpoints that may have their whole weight at once.
    """

    upstream: str
    endpoints: tuple[EndpointSettings, ...]
    order: int = 0
    warm: tuple[str, ...] = ()


class Outlook(Struct, frozen=True, tag=True):
    """No endpoint of the upstream serves: whether one is coming, and in how many seconds it, or the next try, will.

    ``wait`` is 0 while that is not known. It holds for so many ``seconds``; 0: until something else is said.
    """

    upstream: str
    is_coming: bool
    wait: float
    seconds: float = 0.0


class Cover(Struct, frozen=True, tag=True):
    """Accept connections also for the ``workers`` with these numbers, which do not answer; and for no others."""

    workers: tuple[int, ...]


class Reopen(Struct, frozen=True, tag=True):
    """Open these files anew in the place of the descriptors: logs were rotated."""

    files: dict[int, str]


class Drain(Struct, frozen=True, tag=True):
    """Finish what is in flight within ``timeout`` seconds, then exit."""

    timeout: float


class Shares(Struct, frozen=True, tag=True):
    """The worker's parts: of every upstream's fixed limit (a number), and of its queue, in (0, 1]."""

    limits: dict[str, int]
    queues: dict[str, float]


class Checked(Struct, frozen=True, tag=True):
    """An active check of an endpoint: what is believed of it now, and whether the last check passed."""

    upstream: str
    endpoint: str
    is_up: bool
    has_passed: bool


class Cap(Struct, frozen=True, tag=True):
    """For so many ``seconds`` no more than ``limit`` may be in flight at this worker; with None that is over."""

    upstream: str
    limit: int | None
    seconds: float


class Expect(Struct, frozen=True, tag=True):
    """Capacity is coming: in ``wait`` seconds the upstream does ``growth`` times what it does now.

    It holds for so many ``seconds``; with 0 it has come, or is not coming any more.
    """

    upstream: str
    wait: float
    growth: float
    seconds: float


class Rescale(Struct, frozen=True, tag=True):
    """The upstream has become ``ratio`` times what it was: a limit that was found is so many times as high."""

    upstream: str
    ratio: float


Order = (
    Configure | Endpoints | Outlook | Cover | Reopen | Drain | Shares | Checked | BreakerOrder | Cap | Expect | Rescale
)


class Ready(Struct, frozen=True, tag=True):
    """The worker accepts connections."""


class Counted(Struct, frozen=True, tag=True):
    """Everything counted so far, what the process uses; the worst loop lag and the decisions since the last report.

    ``covers`` are the workers for which it accepts connections beside its own.
    """

    snapshot: Snapshot
    process: ProcessReading
    lag: float
    decisions: tuple[Decision, ...] = ()
    covers: tuple[int, ...] = ()


class Drained(Struct, frozen=True, tag=True):
    """The worker exits; ``finished`` when nothing had to be broken off."""

    finished: bool


Report = Ready | Counted | Drained

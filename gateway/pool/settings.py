"""What the operator may say about server processes that the gateway runs itself."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from gateway.checks.settings import Ready
from gateway.core.units import Seconds, Size

PLACEHOLDERS: Final = ("{port}", "{fd}", "{socket}")
Argument = Annotated[str, Meta(extra={"format": "argument"})]


class WarmUp(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that a process answers before it gets traffic; what it answers does not matter, that it does matters.

    They have the host and the headers of ``ready``.
    """

    path: Annotated[str, Meta(description="asked by GET", extra={"format": "path"})] = "/"
    requests: Annotated[int, Meta(ge=0, le=10_000, description="how many, one after another; 0 = none")] = 0
    timeout: Annotated[Seconds, Meta(description="for all of them; a process that needs longer is replaced")] = Seconds(
        30
    )


class Recycle(Struct, frozen=True, forbid_unknown_fields=True):
    """When a process is replaced although it is well; each draws its own bounds, up to a tenth off (memory: below)."""

    requests: Annotated[int, Meta(ge=0, description="after so many answers; 0 = never")] = 0
    age: Annotated[Seconds, Meta(description="after so long; 0s = never", extra={"zero": True})] = Seconds(0)
    memory: Annotated[
        Size | None,
        Meta(
            description="when it and what it started have more resident memory, and a tenth more than at first; "
            "none = never",
            examples=["512MiB"],
        ),
    ] = None


class Pool(Struct, frozen=True, forbid_unknown_fields=True):
    """Run ``command`` between ``min`` and ``max`` times; one of ``{port}``, ``{fd}``, ``{socket}`` says where.

    ``{port}`` becomes a free port, ``{fd}`` the number of a descriptor that listens already, ``{socket}`` the path of a
    unix socket to make.
    """

    command: Annotated[
        tuple[Argument, ...],
        Meta(
            min_length=1,
            description="program and arguments; {port} becomes a free port, {fd} a descriptor that listens, "
            "{socket} the path of a unix socket; python is the gateway's own interpreter; others are looked for in "
            "PATH, then beside it",
            examples=[["python", "-m", "myapp", "--port", "{port}"]],
        ),
    ]
    min: Annotated[
        int, Meta(ge=0, description="at least so many processes serve; 0 = none until there is a request")
    ] = 1
    max: Annotated[int, Meta(ge=0, description="at most so many serve; 0 = min, or the max of scaling")] = 0
    standby: Annotated[int, Meta(ge=0, le=100, description="ready processes beside them that wait without traffic")] = 0
    starts: Annotated[int, Meta(ge=0, description="at most so many boot at a time; 0 = half the cores")] = 0
    ready: Annotated[Ready, Meta(description="when a process may serve")] = Ready()
    warm_up: Annotated[WarmUp, Meta(description="requests before the first real one")] = WarmUp()
    recycle: Annotated[Recycle, Meta(description="when a process is replaced although it is well")] = Recycle()
    max_memory: Annotated[
        Size | None,
        Meta(
            description="no process is added beyond this sum; none = 80 % of the machine's or the cgroup's memory",
            examples=["2GiB"],
        ),
    ] = None
    drain_timeout: Annotated[
        Seconds,
        Meta(
            description="a process that goes may finish its requests for this long, then end for as long again",
            extra={"zero": True},
        ),
    ] = Seconds(10)

    @property
    def most(self) -> int:
        """At most so many processes serve."""
        return self.max or self.min

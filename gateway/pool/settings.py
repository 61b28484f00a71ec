"""What the operator may say about server processes that the gateway runs itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.units import Seconds

Argument = Annotated[str, Meta(extra={"format": "argument"})]


class Ready(Struct, frozen=True, forbid_unknown_fields=True):
    """A process is ready when GET ``path`` answers 2xx or 3xx, within ``timeout`` of its start."""

    path: Annotated[str, Meta(description="asked by GET until it answers 2xx or 3xx", extra={"format": "path"})] = "/"
    timeout: Annotated[Seconds, Meta(description="a process that is not ready by then is replaced")] = Seconds(30)


class Pool(Struct, frozen=True, forbid_unknown_fields=True):
    """Run ``command`` ``min`` times; ``{port}`` in it becomes the free port that the process shall listen on."""

    command: Annotated[
        tuple[Argument, ...],
        Meta(
            min_length=1,
            description="program and arguments; {port} becomes a free port, python is the gateway's own interpreter",
            examples=[["python", "-m", "myapp", "--port", "{port}"]],
        ),
    ]
    min: Annotated[int, Meta(ge=1, description="how many processes run")] = 1
    ready: Annotated[Ready, Meta(description="when a process may serve")] = Ready()
    drain_timeout: Annotated[
        Seconds, Meta(description="a process that is stopped may finish for this long", extra={"zero": True})
    ] = Seconds(10)

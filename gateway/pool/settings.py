"""What the operator may say about server processes that the gateway runs itself."""

from __future__ import annotations

from msgspec import Struct

from gateway.core.units import Seconds


class Ready(Struct, frozen=True, forbid_unknown_fields=True):
    """A process is ready when GET ``path`` answers 2xx or 3xx, within ``timeout`` of its start."""

    path: str = "/"
    timeout: Seconds = Seconds(30)


class Pool(Struct, frozen=True, forbid_unknown_fields=True):
    """Run ``command`` ``min`` times; ``{port}`` in it becomes the free port that the process shall listen on."""

    command: tuple[str, ...]
    min: int = 1
    ready: Ready = Ready()
    drain_timeout: Seconds = Seconds(10)

"""Follows one object: list, watch, and begin again (Kubernetes API concepts, "efficient detection of changes")."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, json

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.kubernetes.client import Refused, Unreachable
from gateway.actuators.kubernetes.objects import Event, Status, Workload, Workloads

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.actuators.kubernetes.client import Client

GONE: Final = 410
_LASTS: Final = 240
"""Seconds after which the server is asked to end a watch, so that a dead one does not last."""
_SILENCE: Final = 270.0
_FIRST: Final = 0.5
_LONGEST: Final = 30.0


class Watch:
    """Calls ``seen`` with each state of the object, or None when there is no such object any more.

    ``failed`` hears each error; the watch goes on after a pause that doubles from half a second to 30 s with full
    jitter, and begins anew once something was heard.
    """

    def __init__(  # noqa: PLR0913 - what it follows, by what, and who hears
        self,
        client: Client,
        path: str,
        name: str,
        *,
        rng: Random,
        seen: Callable[[Workload | None], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._client = client
        self._path = path
        self._selector = f"metadata.name={name}"
        self._rng = rng
        self._seen = seen
        self._failed = failed
        self._version = ""
        self._rounds = 0
        """In a row in which nothing was heard."""

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
            except Refused as error:
                if error.code == GONE:
                    self._version = ""  # too old to be followed: that is the protocol and no failure
                else:
                    self._failed(error)
            except (Unreachable, ActuatorFailed) as error:
                self._failed(error)
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        self._rounds += 1
        return self._rng.random() * float(min(_LONGEST, _FIRST * 2.0 ** min(self._rounds - 1, 10)))

    async def _list(self) -> None:
        found = await self._client.get(Workloads, self._path, {"fieldSelector": self._selector})
        self._version = found.metadata.resource_version
        self._seen(found.items[0] if found.items else None)

    async def _follow(self) -> None:
        params = {
            "watch": "1",
            "fieldSelector": self._selector,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_LASTS),
        }
        async with aclosing(self._client.follow(self._path, params, silence=_SILENCE)) as lines:
            async for line in lines:
                if line.strip():
                    self._take(line)
                    self._rounds = 0

    def _take(self, line: bytes) -> None:
        try:
            event = json.decode(line, type=Event)
            if event.type == "ERROR":
                status = json.decode(event.object, type=Status)
                raise Refused(status.code, status.reason, status.message)
            workload = json.decode(event.object, type=Workload)
        except (DecodeError, UnicodeDecodeError) as error:
            self._version = ""
            message = f"a line of the watch is no event: {error}"
            raise Unreachable(message) from error
        self._version = workload.metadata.resource_version
        if event.type == "DELETED":
            self._seen(None)
        elif event.type != "BOOKMARK":  # which carries nothing but a version
            self._seen(workload)

    def __repr__(self) -> str:
        return f"<Watch {self._selector} at {self._version or 'nothing'}>"

"""What the gateway says of itself meanwhile: signals and decisions, asked at the admin address once a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import DecodeError, Struct, ValidationError, convert, json

from gateway.drill.client import Client
from gateway.upstream.address import parse_address

if TYPE_CHECKING:
    from gateway.core.clock import Clock
    from gateway.drill.client import Answer

PERIOD: Final = 1.0
_PATIENCE: Final = 3.0
_AGAIN: Final = 0.1
_OK: Final = 200
STATES: Final = ("ready", "warming", "draining", "standby", "quarantined")


class _Target(Struct):
    signals: dict[str, float]


class _Signals(Struct):
    targets: dict[str, _Target]


class _Event(Struct):
    event: str


class _Decision(Struct, rename={"before": "from", "after": "to"}):
    id: str
    target: str
    before: int
    after: int
    reason: str
    mode: str


class _Record(Struct):
    decision: _Decision
    fate: list[_Event]


class _Decisions(Struct):
    scaling: list[_Record]


class Told(NamedTuple):
    """One decision, with the last word of what became of it; empty while nothing did."""

    id: str
    before: int
    after: int
    reason: str
    mode: str
    fate: str


async def is_ready(admin: str, clock: Clock, *, within: float) -> bool:
    """Whether ``/readyz`` says so within so many seconds: doors are open, and every pool has a process that serves."""
    client = Client(parse_address(admin), clock=clock, patience=_PATIENCE)
    give_up = clock.now() + within
    try:
        while not _is_all_ready(await client.get("/readyz")):
            if clock.now() >= give_up:
                return False
            await asyncio.sleep(_AGAIN)
    finally:
        await client.close()
    return True


def _is_all_ready(answer: Answer) -> bool:
    if answer.status != _OK:
        return False
    upstreams = json.decode(answer.body).get("upstreams", {})
    return all(one["endpoints"] for one in upstreams.values())


class Watch:
    """Looks once a second; ``problem`` says why it sees nothing, if so."""

    def __init__(self, admin: str, clock: Clock, *, upstream: str = "") -> None:
        self.admin = admin
        self.upstream = upstream
        self.signals: dict[str, float] = {}
        """Of the upstream; the one with the most arrivals when none was named."""
        self.decisions: list[Told] = []
        """Those that were made since the first look, the newest first."""
        self.problem = ""
        self.replicas: list[tuple[float, int]] = []
        """(instant, ready) at every look."""
        self._clock = clock
        self._client = Client(parse_address(admin), clock=clock, patience=_PATIENCE)
        self._old: set[str] | None = None

    async def keep_looking(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(PERIOD)
        finally:
            await self._client.close()

    async def look(self) -> None:
        """Look once; never fails."""
        self.problem = await self._ask()
        # before its first look at the workers a gateway knows of no replica
        if self.signals.get("signal_valid"):
            self.replicas.append((self._clock.now(), int(self.signals.get("replicas_ready", 0))))

    async def _ask(self) -> str:
        try:
            signals = convert(await self._json("/v1/signals"), _Signals)
            decisions = convert(await self._json("/v1/decisions"), _Decisions)
        except (OSError, DecodeError, ValidationError) as error:
            return f"{self.admin} does not answer as a gateway's admin address does: {error}"
        self._take(signals, decisions.scaling)
        return ""

    async def _json(self, path: str) -> Any:  # noqa: ANN401 - whatever it says; converted by the caller
        answer = await self._client.get(path)
        if answer.status != _OK:
            raise OSError(answer.reason or f"status {answer.status} for {path}")
        return json.decode(answer.body)

    def _take(self, signals: _Signals, decisions: list[_Record]) -> None:
        targets = signals.targets
        name = self.upstream or max(targets, key=lambda each: targets[each].signals.get("offered_rps", 0.0), default="")
        found = targets.get(name)
        self.signals = {} if found is None else found.signals
        if self._old is None:
            self._old = {record.decision.id for record in decisions}
        self.decisions = [
            Told(
                record.decision.id,
                record.decision.before,
                record.decision.after,
                record.decision.reason,
                record.decision.mode,
                record.fate[-1].event if record.fate else "",
            )
            for record in decisions
            if record.decision.id not in self._old and record.decision.target == name
        ]

"""All processes of one upstream that the gateway runs itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter, deque
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from gateway.pool.memory import ceiling, room
from gateway.pool.moves import Goal, Moves, plan
from gateway.pool.outlook import Outlook, look_out
from gateway.pool.place import End, Place
from gateway.pool.renewal import Renewal
from gateway.pool.starts import free_starts
from gateway.signals.reading import Replicas
from gateway.telemetry.guard import Guard
from gateway.upstream.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.core.clock import Clock
    from gateway.pool.settings import Pool
    from gateway.pool.status import ProcessStatus
    from gateway.pool.traffic import Traffic
    from gateway.telemetry.logs import Logger

_LOOK: Final = 1.0
_COLD_STARTS: Final = 100


class ProcessPool:
    """Keeps as many processes of one command serving ``upstream`` as :meth:`resize` last said, between min and max.

    ``on_change`` is called with the upstream's name, its endpoints, and the URLs of those that are warm, when the
    endpoints changed. All decisions are made in :meth:`_settle`, at once, whenever a place or a wish has changed.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        upstream: str,
        settings: Pool,
        *,
        clock: Clock,
        rng: Random,
        log: Logger,
        traffic: Traffic,
        on_change: Callable[[str, tuple[EndpointSettings, ...], tuple[str, ...]], None],
    ) -> None:
        self.upstream = upstream
        self.endpoints: tuple[EndpointSettings, ...] = ()
        self.desired = settings.min
        self.ends: Counter[End] = Counter()
        """How many processes that were to leave did so drained, had to be forced, or crashed before that."""
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._log = log.bind(upstream=upstream)
        self._place_log = log
        self._traffic = traffic
        self._on_change = on_change
        self._places: list[Place] = []
        self._cold_starts: deque[float] = deque(maxlen=_COLD_STARTS)
        self._renewal = Renewal()
        self._rolling = asyncio.Lock()
        self._ceiling = ceiling(settings.max_memory)
        self._cores = len(os.sched_getaffinity(0))
        self._held_until = 0.0
        self._warm: set[str] = set()
        self._folder: Path | None = None
        self._watching: asyncio.Task[None] | None = None
        self._is_running = False
        self._is_settling = False

    def __repr__(self) -> str:
        """Say how many of how many processes are ready."""
        return f"<ProcessPool {self.upstream} ready={len(self.endpoints)}/{self.desired}>"

    @property
    def settings(self) -> Pool:
        """What it runs now."""
        return self._settings

    @property
    def processes(self) -> tuple[ProcessStatus, ...]:
        """What can be said of each process now."""
        return tuple(place.status for place in self._places)

    @property
    def replicas(self) -> Replicas:
        """How many processes are in each state; what waits after it died is in none."""
        count = Counter(place.state for place in self._places)
        return Replicas(
            ready=count["ready"],
            warming=count["spawning"] + count["booting"] + count["warming"],
            draining=count["draining"] + count["stopping"],
            standby=count["standby"],
            quarantined=count["quarantined"],
            desired=self.desired,
        )

    @property
    def cold_starts(self) -> tuple[float, ...]:
        """The latest times from the wish for a process to its traffic, in seconds, at most 100."""
        return tuple(self._cold_starts)

    @property
    def room(self) -> int | None:
        """How many processes memory allows, by the largest that there is; None while none has been measured."""
        return room((place.vitals.rss for place in self._places if place.is_able), self._ceiling)

    @property
    def outlook(self) -> Outlook | None:
        """When a process will serve, while none does; None while one does."""
        if self.endpoints:
            return None
        known = self._cold_starts
        return look_out(
            [place.starting for place in self._present],
            usual=median(known) if known else None,
            desired=self.desired,
            now=self._clock.now(),
        )

    @property
    def is_awaited(self) -> bool:
        """Whether it may be empty, and its first request would wait for a process."""
        outlook = None if self.settings.min else self.outlook
        return outlook is not None and outlook.is_coming

    # --- orders ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes; they become ready in their own time."""
        self._is_running = True
        self._watching = asyncio.create_task(
            Guard(self._log, self._clock).keep_going("watch", self._watch), name=f"pool {self.upstream}"
        )
        self._settle()

    def resize(self, desired: int) -> None:
        """Let so many processes serve, within min and max; returns at once."""
        before, self.desired = self.desired, min(max(desired, self._settings.min), self._settings.most)
        if before != self.desired:
            self._log.info("pool resized", before=before, after=self.desired)
        self._settle()

    def restart(self, actor: str, reason: str) -> None:
        """Replace every process by a new one, one at a time, each ready before the old one drains; returns at once.

        What is in quarantine is tried again at once. When the new ones do not become ready the old ones stay.
        """
        self._log.warning("pool restart", actor=actor, reason=reason)
        self._renewal.begin("restart")
        self._try_again()

    def recycle(self, name: str, actor: str, reason: str) -> bool:
        """Replace one process by a new one, as when its time has come; False when no process of this name serves."""
        for place in self._present:
            if place.name == name and place.is_able:
                self._log.warning("pool process recycled", pool_process=name, actor=actor, reason=reason)
                place.due = "recycle_order"
                self._settle()
                return True
        return False

    async def roll(self, settings: Pool, actor: str, reason: str) -> bool:
        """Go over to these settings as :meth:`restart` does; True when all processes are by them.

        False when the new ones do not become ready: then everything is as it was, and the old ones have served all the
        time.
        """
        async with self._rolling:
            if not self._is_running:
                return False
            self._log.warning("pool roll", actor=actor, reason=reason, command=list(settings.command))
            ended = self._renewal.begin_roll(self._settings)
            self._use(settings)
            self._try_again()
            is_done = await ended
            if is_done:
                self._log.info("pool rolled", command=list(settings.command))
                self.resize(self.desired)  # its new bounds hold from now on
            return is_done

    async def stop(self) -> None:
        """End all processes at the same time, each within the drain timeout."""
        self._is_running = False
        self._renewal.end(is_done=False)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        places = list(self._places)
        for place in places:
            place.leave("stop")
        self._publish()
        await asyncio.gather(*(place.until_gone() for place in places))
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End all processes at once, and let none take the place of another."""
        self._is_running = False
        for place in self._places:
            place.kill()

    # --- decisions -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Decide what shall be done now and do it, until there is nothing left to do; then tell of the endpoints."""
        if self._is_settling or not self._is_running:
            return
        self._is_settling = True
        try:
            while self._carry_out(self._plan()):
                pass
            self._grant_starts()
        finally:
            self._is_settling = False
        self._publish()
        self._note_cold_starts()

    def _plan(self) -> Moves:
        self._judge()
        present = self._present
        fresh = [place for place in present if place.epoch == self._renewal.epoch]
        is_held = self._clock.now() < self._held_until or any(place.state == "quarantined" for place in fresh)
        return plan(
            [place.seen(self._renewal.epoch) for place in present],
            Goal(
                self.desired,
                self._settings.standby,
                self._settings.min + self._settings.standby,
                self.room,
                may_grow=not is_held,
                is_exchanging=any(place.is_leaving and place.is_retiring for place in self._places),
            ),
        )

    def _judge(self) -> None:
        """See how a replacement of processes goes; one that cannot be ended is given up."""
        epoch = self._renewal.epoch
        present = self._present
        fresh = [place for place in present if place.epoch == epoch]
        old = [place for place in present if place.epoch != epoch]
        retiring = [place for place in present if place.is_retiring]
        has_failed = any(place.failures > 1 or place.state == "quarantined" for place in fresh)
        if has_failed and (before := self._renewal.back()) is not None:
            self._log.error(
                "pool rolled back",
                why="the new processes did not become ready",
                command=list(before.settings.command),
            )
            self._use(before.settings)
            for place in retiring:
                place.renew()
        elif has_failed and (old or retiring):
            self._log.error("pool replacement given up", why="the new processes did not become ready")
            for place in (*old, *retiring):
                place.epoch = epoch
                place.renew()
        elif any(place.is_able for place in fresh) and all(place.settings is self._settings for place in present):
            self._renewal.end(is_done=True)

    def _carry_out(self, moves: Moves) -> bool:
        """Do it; whether anything was done."""
        places = {place.number: place for place in self._places}
        for number in moves.keep:
            places[number].renew()
        for number in moves.promote:
            self._promote(places[number])
        for number in moves.rest:
            places[number].rest("standby" if places[number].state == "warming" else "shrink")
        for number in moves.leave:
            self._dismiss(places[number])
        why = "grow" if self._cold_starts or self.endpoints else "start"
        for number in moves.retire:
            places[number].is_retiring = True
            why = self._why(places[number])
        for _ in range(moves.add):
            self._add(why)
        return moves != Moves()

    def _promote(self, place: Place) -> None:
        if place.state == "standby":
            place.wanted_at = self._clock.now()
            self._warm.add(place.url)
            place.serve("promoted")
        else:
            place.serve(place.reason)

    def _dismiss(self, place: Place) -> None:
        if place.state == "quarantined" and place.epoch == self._renewal.epoch:
            self._held_until = place.tries_again_at  # it leaves, its reason stays
        place.leave(self._why(place) if place.is_retiring or place.epoch != self._renewal.epoch else "shrink")

    def _why(self, place: Place) -> str:
        return place.due if place.epoch == self._renewal.epoch else self._renewal.reason

    def _add(self, reason: str) -> None:
        taken = {place.number for place in self._places}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        name = f"{self.upstream}-{number}"
        place = Place(
            name,
            number,
            self._settings,
            epoch=self._renewal.epoch,
            wanted_at=self._clock.now(),
            socket_path=partial(self._socket_path, name),
            traffic=self._traffic,
            clock=self._clock,
            rng=self._rng,
            log=self._place_log,
            on_change=self._settle,
            on_gone=self._on_gone,
        )
        self._places.append(place)
        self._places.sort(key=lambda one: one.number)
        place.start(reason)

    def _grant_starts(self) -> None:
        present = self._present
        free = free_starts(
            sum(place.boots for place in present),
            starts=self._settings.starts,
            cores=self._cores,
            is_serving=any(place.state == "ready" for place in present),
        )
        for place in [place for place in present if place.waits][:free]:
            place.go()

    def _publish(self) -> None:
        """Tell of the endpoints if they are others now."""
        endpoints = tuple(EndpointSettings(place.url) for place in self._places if place.state == "ready")
        warm, self._warm = self._warm, set()
        if endpoints != self.endpoints:
            self.endpoints = endpoints
            self._on_change(self.upstream, endpoints, tuple(sorted(warm)))

    def _note_cold_starts(self) -> None:
        for place in self._places:
            if place.state == "ready" and place.wanted_at is not None:
                self._cold_starts.append(self._clock.now() - place.wanted_at)
                place.wanted_at = None

    def _try_again(self) -> None:
        """What died may try again at once: somebody has said that something changed."""
        self._held_until = 0.0
        for place in self._places:
            place.forgive()
        self._settle()

    def _use(self, settings: Pool) -> None:
        self._settings = settings
        self._ceiling = ceiling(settings.max_memory)

    # --- what happens ----------------------------------------------------------------------------

    @property
    def _present(self) -> list[Place]:
        return [place for place in self._places if not place.is_leaving]

    def _on_gone(self, place: Place, end: End | None) -> None:
        if end is not None:
            self.ends[end] += 1
        self._places.remove(place)
        self._settle()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            for place in self._places:
                place.look()
            self._settle()

    def _socket_path(self, name: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="gateway-"))
        return self._folder / f"{name}.sock"

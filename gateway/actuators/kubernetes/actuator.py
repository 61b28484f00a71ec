"""Carries decisions out by the scale subresource, and watches what comes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from gateway.actuators.actuator import ActuatorFailed, View
from gateway.actuators.cold_starts import ColdStarts
from gateway.actuators.kubernetes.client import Client, Refused, Unreachable
from gateway.actuators.kubernetes.objects import Scale, Workload, WorkloadSpec
from gateway.actuators.kubernetes.watch import Watch
from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from gateway.actuators.kubernetes.credentials import Credentials
    from gateway.actuators.kubernetes.target import Target
    from gateway.core.clock import Clock
    from gateway.scaling.decision import Decision
    from gateway.telemetry.logs import Logger

LOOK: Final = 10.0
"""Seconds between two proofs that what we know is still so."""
_REQUEST: Final = 5.0
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404
_TRIES: Final = 2


class KubernetesActuator:
    """Scales one Deployment or StatefulSet; see the room's own docstring for how."""

    def __init__(  # noqa: PLR0913 - what, how, and the shell's tools
        self,
        target: Target,
        credentials: Callable[[], Credentials],
        *,
        clock: Clock,
        rng: Random,
        log: Logger,
        timeout: float = 30.0,
        look: float = LOOK,
    ) -> None:
        self._target = target
        self._clock = clock
        self._log = log
        self._timeout = timeout
        self._look = look
        self._client = Client(credentials, timeout=min(_REQUEST, timeout))
        self._watch = Watch(
            self._client, target.collection, target.name, rng=rng, seen=self._heard, failed=self._watch_failed
        )
        self._cold_starts = ColdStarts()
        self._workload: Workload | None = None
        self._at: float | None = None
        self._owner: str | None = None
        self._problem = "has not been read yet"
        self._is_gone = False
        self._complaint = ""
        self._heard_times = 0
        self._ours: int | None = None
        """The number that the latest patch has set."""
        self._patched = ""
        """The version that the latest patch has made."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def view(self) -> View:
        """What was last seen, and when it was last proved."""
        stuck = _stuck(self._workload)
        return View(
            at=self._at,
            replicas=_replicas(self._workload),
            cold_starts=self._cold_starts.times,
            owner=self._owner,
            changed_by=self._workload.metadata.scaled_by if self._workload else "",
            problem=self._problem or stuck,
        )

    def start(self) -> None:
        """Begin to watch and to look."""
        self._tasks = [
            asyncio.create_task(self._guarded(self._watch.run), name=f"watch {self._target.name}"),
            asyncio.create_task(self._guarded(self._look_again), name=f"look at {self._target.name}"),
        ]

    async def apply(self, decision: Decision) -> None:
        """Set the number of replicas; ActuatorFailed says whose turn it is to do something."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._refuse_beside_owner()
                await self._scale(decision)
        except TimeoutError as error:
            raise ActuatorFailed(
                "unreachable", f"the API server did not carry it out in {self._timeout:g} s"
            ) from error

    async def stop(self) -> None:
        """End both conversations."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._client.close()

    async def _refuse_beside_owner(self) -> None:
        try:
            self._owner = await self._target.owner(self._client)
        except (Refused, Unreachable, ActuatorFailed) as error:
            # whether somebody else scales it is not known, and two that write one number fight
            raise self._target.failed(error, "list horizontalpodautoscalers") from error
        if self._owner is not None:
            detail = (
                f"the HorizontalPodAutoscaler {self._owner} scales {self._target.name}: decisions are published only"
            )
            raise ActuatorFailed("owned", detail)

    async def _scale(self, decision: Decision) -> None:
        wanted, resource = decision.after, f"{self._target.resource}s/scale"
        for left in reversed(range(_TRIES)):
            try:
                scale = await self._client.get(Scale, self._target.scale)
            except (Refused, Unreachable, ActuatorFailed) as error:
                raise self._target.failed(error, f"get {resource}") from error
            if scale.spec.replicas == wanted:
                return
            self._refuse_beside_others(scale.spec.replicas, decision)
            try:
                await self._patch(scale, wanted)
            except (Refused, Unreachable, ActuatorFailed) as error:
                if left and (isinstance(error, Unreachable) or getattr(error, "code", 0) == _CONFLICT):
                    continue
                raise self._target.failed(error, f"patch {resource}") from error
            return

    def _refuse_beside_others(self, found: int, decision: Decision) -> None:
        """What was decided from another number does not stand above the word of whoever has set this one."""
        if found in {decision.before, self._ours}:
            return
        detail = f"somebody else has set it to {found}, and this was decided from {decision.before}"
        raise ActuatorFailed("conflict", detail)

    async def _patch(self, scale: Scale, wanted: int) -> None:
        # the watch may tell of a ready replica before the answer to the patch is here
        self._cold_starts.ask(scale.spec.replicas, self._clock.now())
        self._cold_starts.ask(wanted, self._clock.now())
        version = {"resourceVersion": scale.metadata.resource_version}
        patch = {"metadata": version, "spec": {"replicas": wanted}}
        try:
            scale = await self._client.merge(Scale, self._target.scale, patch)
        except BaseException:
            self._cold_starts.ask(scale.spec.replicas, self._clock.now())
            raise
        # who decides next must not see the number of before, and the watch may be broken
        self._heard_times += 1
        self._ours, self._patched = scale.spec.replicas, scale.metadata.resource_version
        if self._workload is not None:
            self._workload = replace(self._workload, spec=WorkloadSpec(scale.spec.replicas))

    def _heard(self, workload: Workload | None) -> None:
        """The watch or a look has something to say, which is true now unless we have changed it since."""
        if workload is not None and _is_older(workload.metadata.resource_version, self._patched):
            return
        self._heard_times += 1
        self._is_gone = workload is None
        if workload is None:
            # the last numbers stay and grow old: none at all would read as zero
            self._cold_starts.forget()
            target = self._target
            self._say(f"not_found: there is no {target.kind} {target.name} in namespace {target.namespace}")
            return
        before, self._workload = self._workload, workload
        if before is None or before.metadata.uid != workload.metadata.uid:
            self._cold_starts.forget()
        self._complaint = ""
        self._at = now = self._clock.now()
        self._cold_starts.ask(workload.spec.replicas, now)
        self._cold_starts.see(workload.status.ready_replicas, now)

    def _watch_failed(self, error: Exception) -> None:
        if str(error) != self._complaint:
            self._log.warning("kubernetes watch failed", target=self._target.name, error=str(error))
        self._complaint = str(error)

    async def _look_again(self) -> None:
        while True:
            problem = await self._looked()
            if not self._is_gone:
                self._say(problem)
            await asyncio.sleep(self._look)

    async def _looked(self) -> str:
        """Look once; the problem in words, or nothing."""
        heard = self._heard_times
        target = self._target
        what = f"get {target.resource}s"
        try:
            workload = await self._client.get(Workload, target.path)
            if heard == self._heard_times:  # or the watch was faster, and knows something newer
                self._heard(workload)
            elif not self._is_gone:
                self._at = self._clock.now()
            what = "list horizontalpodautoscalers"
            self._owner = await target.owner(self._client)
        except (Refused, Unreachable, ActuatorFailed) as error:
            if getattr(error, "code", 0) == _NOT_FOUND and heard == self._heard_times:
                self._heard(None)
            return str(target.failed(error, what))
        return ""

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            self._log.warning("kubernetes target cannot be seen", target=self._target.name, problem=problem)
        elif self._problem and not problem:
            self._log.info("kubernetes target is seen", target=self._target.name)
        self._problem = problem

    async def _guarded(self, run: Callable[[], Awaitable[None]]) -> None:
        """A mistake of ours must not end a conversation for good."""
        while True:
            try:
                await run()
            except Exception:  # noqa: BLE001 - whatever it is, it is logged
                self._log.exception("kubernetes conversation failed", target=self._target.name)
            await asyncio.sleep(self._look)

    def __repr__(self) -> str:
        return f"<KubernetesActuator {self._target} {self._problem or 'well'}>"


def _is_older(version: str, other: str) -> bool:
    """Whether one version of an object came before another (KEP-5504: they are numbers; of any other nobody knows)."""
    return version.isdecimal() and other.isdecimal() and int(version) < int(other)


def _replicas(workload: Workload | None) -> Replicas:
    if workload is None:
        return Replicas()
    desired, status = workload.spec.replicas, workload.status
    leaving = max(0, status.replicas - desired) + (status.terminating_replicas or 0)
    ready = status.ready_replicas
    return Replicas(ready=ready, warming=max(0, desired - ready), draining=leaving, desired=desired)


def _stuck(workload: Workload | None) -> str:
    """A rollout that does not come forward, which no number of replicas can mend."""
    if workload is None:
        return ""
    for each in workload.status.conditions:
        if each.type == "Progressing" and each.status == "False":
            wanted, updated = workload.spec.replicas, workload.status.updated_replicas
            return f"rollout_stuck: {updated} of {wanted} replicas are up to date: {each.message or each.reason}"
    return ""

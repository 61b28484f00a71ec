"""The random walk on what is real: processes of a pool, and a Deployment behind an API server."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, settings

from gateway.actuators.kubernetes.actuator import KubernetesActuator
from gateway.actuators.kubernetes.in_cluster import in_cluster
from gateway.actuators.kubernetes.target import Target
from gateway.checks.settings import Ready
from gateway.control.scaling.pool_actuator import PoolActuator
from gateway.control.traffic import EndpointTraffic
from gateway.core.clock import SystemClock
from gateway.core.units import Seconds
from gateway.pool.pool import ProcessPool
from gateway.pool.settings import Pool
from gateway.scaling.settings import ActuatorSettings
from tests.support.decisions import kept_log
from tests.support.kubernetes import running_api_server
from tests.support.running import until
from tests.support.walk import Walk

if TYPE_CHECKING:
    from gateway.core.clock import ManualClock
    from gateway.upstream.settings import EndpointSettings

SERVER: Final = """
import socket, sys
door = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    peer = door.accept()[0]
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    peer.close()
"""


class Processes:
    """A pool of real processes, in real time beside the walk's: each second waits until all of them are ready."""

    settings = ActuatorSettings(kind="pool")
    has_hands = False

    async def open(self, clock: ManualClock) -> None:
        log, _ = kept_log()
        self._traffic = EndpointTraffic()
        command = (sys.executable, "-S", "-E", "-c", SERVER, "{port}")
        ready = Ready(timeout=Seconds(20))
        self.pool = ProcessPool(
            "app",
            Pool(command=command, min=1, max=4, starts=4, ready=ready, drain_timeout=Seconds(1)),
            clock=SystemClock(),
            rng=random.Random(1),
            log=log,
            traffic=self._traffic,
            on_change=self._changed,
        )
        self.pool.start()
        self.actuator = PoolActuator(self.pool, clock)
        await self.second()

    def _changed(self, _name: str, endpoints: tuple[EndpointSettings, ...], _warm: tuple[str, ...]) -> None:
        self._traffic.ordered(0, [endpoint.url for endpoint in endpoints])

    @property
    def number(self) -> int:
        return self.pool.desired

    @property
    def ready(self) -> int:
        return self.pool.replicas.ready

    async def begin_again(self, number: int | None) -> None:
        self.pool.resize(1 if number is None else number)
        await self.second()

    async def set(self, number: int) -> None:
        raise NotImplementedError

    def break_down(self, how: str) -> None:
        if how == "crash":
            os.kill(self.pool.processes[0].pid or 0, signal.SIGKILL)

    async def second(self) -> None:
        await until(lambda: self.pool.replicas.ready == self.pool.desired)

    async def close(self) -> None:
        if hasattr(self, "pool"):
            await self.pool.stop()


class Deployment:
    """A Deployment behind the API server of the tests: its pods are ready three seconds after the number was set."""

    settings = ActuatorSettings(kind="kubernetes", deployment="shop")
    has_hands = True

    async def open(self, clock: ManualClock) -> None:
        self.clock = clock
        self._stack = AsyncExitStack()
        self.api = await self._stack.enter_async_context(running_api_server())
        self.api.create("shop", 1, ready=1)
        account = self.api.write_account(Path(self._stack.enter_context(tempfile.TemporaryDirectory())))
        log, _ = kept_log()
        self.actuator = KubernetesActuator(
            Target("default", "shop"),
            partial(in_cluster, account, self.api.environment),
            clock=clock,
            rng=random.Random(1),
            log=log,
            look=0.002,
        )
        self.actuator.start()
        self.ready = 1
        self._seen, self._since = 1, clock.now()
        await self.second()

    @property
    def number(self) -> int:
        return self.api.replicas("shop")

    async def begin_again(self, number: int | None) -> None:
        """The cluster does not notice."""

    async def set(self, number: int) -> None:
        self.api.set_replicas("shop", number)
        await self.second()

    def break_down(self, how: str) -> None:
        self.api.forbidden.clear()
        self.api.autoscalers.clear()
        if how == "fails":
            self.api.forbidden.add(("patch", "deployments/scale"))
        if how == "owned":
            self.api.add_autoscaler("hpa", "shop")

    async def second(self) -> None:
        now = self.clock.now()
        if self.number != self._seen:
            self._seen, self._since = self.number, now
        ready = self.number if now - self._since >= 3.0 else min(self.ready, self.number)
        if ready != self.ready:
            self.ready = ready
            self.api.set_ready("shop", ready)
        await until(self._is_seen)

    def _is_seen(self) -> bool:
        view = self.actuator.view
        owner = "hpa" if self.api.autoscalers else None
        return view.at == self.clock.now() and (view.replicas.desired, view.owner) == (self.number, owner)

    async def close(self) -> None:
        if hasattr(self, "actuator"):
            await self.actuator.stop()
        await self._stack.aclose()


class OnProcesses(Walk):
    """A pool: nobody else sets its number, and its processes die."""

    breakages = ("crash",)
    most = 4

    def make_site(self) -> Processes:
        return Processes()


class OnADeployment(Walk):
    """A cluster: people scale by hand, rights go and come back, an HPA is made and deleted."""

    breakages = ("fails", "owned")

    def make_site(self) -> Deployment:
        return Deployment()


TestOnProcesses = OnProcesses.TestCase
TestOnADeployment = OnADeployment.TestCase
TestOnProcesses.settings = TestOnADeployment.settings = settings(
    max_examples=5,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

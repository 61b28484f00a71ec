"""Which actuator the settings ask for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.actuators.command import Command
from gateway.actuators.kubernetes.actuator import KubernetesActuator
from gateway.actuators.kubernetes.in_cluster import in_cluster
from gateway.actuators.kubernetes.kubeconfig import read_kubeconfig
from gateway.actuators.kubernetes.target import Target
from gateway.actuators.publish import Publish
from gateway.actuators.webhook import Webhook

if TYPE_CHECKING:
    from random import Random

    from gateway.actuators.actuator import Actuator
    from gateway.core.clock import Clock
    from gateway.scaling.settings import ActuatorSettings
    from gateway.telemetry.logs import Logger


def make_actuator(settings: ActuatorSettings, target: str, *, clock: Clock, rng: Random, log: Logger) -> Actuator:
    """The actuator of one target, not started; ValueError for a pool, which only its owner can resize.

    The settings were checked (:func:`gateway.scaling.settings.broken_rules`). Nothing is opened or read here, so what
    is missing in the world shows as a problem of the view.
    """
    timeout = float(settings.timeout)
    match settings.kind:
        case "kubernetes":
            credentials = (
                in_cluster
                if settings.kubeconfig is None
                else partial(read_kubeconfig, Path(settings.kubeconfig), settings.context)
            )
            scaled = Target(settings.namespace, settings.deployment or target, settings.resource)
            return KubernetesActuator(scaled, credentials, clock=clock, rng=rng, log=log, timeout=timeout)
        case "webhook":
            ca_file = None if settings.ca_file is None else Path(settings.ca_file)
            secret = Path(settings.secret_file or "")
            return Webhook(settings.url or "", secret, clock=clock, rng=rng, log=log, ca_file=ca_file, timeout=timeout)
        case "exec":
            return Command(settings.command, settings.count, target=target, clock=clock, log=log, timeout=timeout)
        case "publish":
            return Publish(clock)
        case _:
            message = f'an actuator of kind "{settings.kind}" is made by whoever owns what it scales'
            raise ValueError(message)

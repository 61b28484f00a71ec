"""The parts of the API's objects that we read; all others are ignored.

Kubernetes leaves numbers out that are 0, so every one has a default (API conventions, "optional vs. required").
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field

Count = Annotated[int, Meta(ge=0)]


class ManagedFields(Struct, frozen=True, rename="camel"):
    """Who set which fields (server-side apply's record of every write)."""

    manager: str = ""
    subresource: str = ""
    fields_v1: dict[str, Any] = field(default_factory=dict, name="fieldsV1")


class ObjectMeta(Struct, frozen=True, rename="camel"):
    """Which object, and which version of it; the version is opaque and only ever sent back."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    managed_fields: list[ManagedFields] = field(default_factory=list)

    @property
    def scaled_by(self) -> str:
        """Whose is ``spec.replicas``, by the name that a client gives itself; empty when it is not written."""
        for each in reversed(self.managed_fields):
            spec = each.fields_v1.get("f:spec")
            if isinstance(spec, dict) and "f:replicas" in spec:
                return each.manager
        return ""


class Condition(Struct, frozen=True):
    """One thing that a controller says of its object."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class WorkloadSpec(Struct, frozen=True):
    """How many pods are wanted; the API server fills in 1."""

    replicas: Count = 1


class WorkloadStatus(Struct, frozen=True, rename="camel"):
    """How many pods there are, of whatever age."""

    replicas: Count = 0
    ready_replicas: Count = 0
    updated_replicas: Count = 0
    terminating_replicas: Count | None = None
    conditions: list[Condition] = field(default_factory=list)


class Workload(Struct, frozen=True):
    """A Deployment or StatefulSet (apps/v1)."""

    metadata: ObjectMeta = ObjectMeta()
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class ScaleSpec(Struct, frozen=True):
    """How many pods are wanted."""

    replicas: Count = 0


class Scale(Struct, frozen=True):
    """The scale subresource (autoscaling/v1)."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ScaleSpec = ScaleSpec()


class ListMeta(Struct, frozen=True, rename="camel"):
    """The version of a list, from which it can be followed."""

    resource_version: str = ""


class Workloads(Struct, frozen=True):
    """A list of Deployments or StatefulSets."""

    metadata: ListMeta = ListMeta()
    items: list[Workload] = field(default_factory=list)


class ScaleTarget(Struct, frozen=True, rename="camel"):
    """What an autoscaler scales."""

    api_version: str = ""
    kind: str = ""
    name: str = ""


class AutoscalerSpec(Struct, frozen=True, rename="camel"):
    """What we need of an autoscaler's spec."""

    scale_target_ref: ScaleTarget = ScaleTarget()


class Autoscaler(Struct, frozen=True):
    """A HorizontalPodAutoscaler (autoscaling/v2)."""

    metadata: ObjectMeta = ObjectMeta()
    spec: AutoscalerSpec = AutoscalerSpec()


class Autoscalers(Struct, frozen=True):
    """A list of HorizontalPodAutoscalers."""

    items: list[Autoscaler] = field(default_factory=list)


class Status(Struct, frozen=True):
    """What the API server says when it refuses (meta/v1)."""

    reason: str = ""
    message: str = ""
    code: int = 0


class Event(Struct, frozen=True):
    """One line of a watch; ``object`` is a workload, or a :class:`Status` when ``type`` is ERROR."""

    type: str
    object: Raw

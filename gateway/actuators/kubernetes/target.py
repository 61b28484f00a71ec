"""What is scaled: its paths, its words for people, and the rights that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.kubernetes.client import Refused
from gateway.actuators.kubernetes.objects import Autoscalers

if TYPE_CHECKING:
    from gateway.actuators.kubernetes.client import Client, Unreachable

_KINDS: Final = {"deployment": "Deployment", "statefulset": "StatefulSet"}
_WORDS: Final = {
    400: "bad_answer",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    422: "refused",
    429: "busy",
}
_SERVER: Final = 500


class Target(Struct, frozen=True):
    """One Deployment or StatefulSet."""

    namespace: str
    name: str
    resource: str = "deployment"

    @property
    def kind(self) -> str:
        """As in manifests."""
        return _KINDS[self.resource]

    @property
    def collection(self) -> str:
        """The path of all its siblings."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{self.resource}s"

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.collection}/{self.name}"

    @property
    def scale(self) -> str:
        """The path of its scale subresource."""
        return f"{self.path}/scale"

    async def owner(self, client: Client) -> str | None:
        """The autoscaler that scales this, by name; raises as :meth:`Client.get`."""
        path = f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"
        found = await client.get(Autoscalers, path)
        for each in found.items:
            wanted = each.spec.scale_target_ref
            is_apps = wanted.api_version.partition("/")[0] == "apps"
            if is_apps and wanted.kind == self.kind and wanted.name == self.name:
                return each.metadata.name
        return None

    def failed(self, error: Refused | Unreachable | ActuatorFailed, what: str) -> ActuatorFailed:
        """An error in our words; ``what`` is a verb and a resource, such as "patch deployments/scale"."""
        if isinstance(error, ActuatorFailed):
            return error
        if not isinstance(error, Refused):
            return ActuatorFailed("unreachable", f"could not {what}: {error}")
        word = _WORDS.get(error.code, "unavailable" if error.code >= _SERVER else "refused")
        return ActuatorFailed(word, self._detail(error, word, what))

    def _detail(self, error: Refused, word: str, what: str) -> str:
        verb, _, resource = what.partition(" ")
        said = error.message or f"status {error.code}"
        if word == "forbidden":
            group = "autoscaling" if "autoscaler" in resource else "apps"
            return (
                f'the role in namespace {self.namespace} must allow "{verb}" on "{resource}" of apiGroup "{group}" '
                f"(see config/kubernetes/rbac.yaml): {said}"
            )
        if word == "not_found":
            return f"there is no {self.kind} {self.name} in namespace {self.namespace}: {said}"
        if word == "unauthorized":
            return f"the API server does not know who we are; is the token still good? {said}"
        if word == "conflict":
            return f"somebody else changes {self.name} at the same time: {said}"
        return f"could not {what}: {said}"

    def __repr__(self) -> str:
        return f"<Target {self.kind} {self.namespace}/{self.name}>"

"""Scaling a Deployment through an API server that speaks the real paths, over TLS."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.kubernetes.actuator import KubernetesActuator
from gateway.actuators.kubernetes.in_cluster import in_cluster
from gateway.actuators.kubernetes.kubeconfig import read_kubeconfig
from gateway.actuators.kubernetes.target import Target
from gateway.core.clock import SystemClock
from gateway.signals.reading import Replicas
from tests.support.decisions import Lines, decision, kept_log
from tests.support.kubernetes import ApiServer, running_api_server
from tests.support.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.actuators.kubernetes.credentials import Credentials


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with running_api_server() as server:
        server.create("shop", 3, ready=3)
        yield server


@pytest.fixture
def account(api: ApiServer, tmp_path: Path) -> Path:
    return api.write_account(tmp_path)


@pytest.fixture
def credentials(api: ApiServer, account: Path) -> Callable[[], Credentials]:
    return partial(in_cluster, account, api.environment)


@asynccontextmanager
async def watching(
    credentials: Callable[[], Credentials], *, resource: str = "deployment", look: float = 0.05, within: float = 10.0
) -> AsyncIterator[tuple[KubernetesActuator, Lines]]:
    log, lines = kept_log()
    actuator = KubernetesActuator(
        Target("default", "shop", resource),
        credentials,
        clock=SystemClock(),
        rng=Random(1),
        log=log,
        timeout=within,
        look=look,
    )
    actuator.start()
    try:
        yield actuator, lines
    finally:
        await actuator.stop()


def patches(api: ApiServer) -> list[dict[str, Any]]:
    return [json.loads(body) for method, _, body in api.requests if method == "PATCH"]


async def test_a_decision_becomes_the_number_of_replicas(api: ApiServer, credentials: Any) -> None:
    """And the view tells how far that has come, cold starts included."""
    async with watching(credentials) as (actuator, _):
        await until(lambda: actuator.view.at)
        assert actuator.view.replicas == Replicas(ready=3, desired=3)
        await actuator.apply(decision(3, 5))
        assert api.replicas("shop") == 5
        await until(lambda: actuator.view.replicas == Replicas(ready=3, warming=2, desired=5))
        api.set_ready("shop", 4)
        await until(lambda: actuator.view.replicas == Replicas(ready=4, warming=1, desired=5))
        assert len(actuator.view.cold_starts) == 1
        api.set_ready("shop", 5)
        await until(lambda: actuator.view.replicas == Replicas(ready=5, desired=5))
        first, second = actuator.view.cold_starts
        assert 0 < first < second
        assert actuator.view.problem == ""


async def test_the_watch_tells_of_changes_without_being_asked(api: ApiServer, credentials: Any) -> None:
    """A view that is only read every hour follows what happens."""
    async with watching(credentials, look=3600) as (actuator, _):
        await until(lambda: actuator.view.replicas.ready == 3 and api.watches == 1)
        api.set_ready("shop", 2)
        await until(lambda: actuator.view.replicas.ready == 2)
        api.set_replicas("shop", 1)
        await until(lambda: actuator.view.replicas == Replicas(ready=2, draining=2, desired=1))


async def test_the_same_decision_again_changes_nothing(api: ApiServer, credentials: Any) -> None:
    """Applying is safe to repeat: the second time nothing is patched."""
    async with watching(credentials) as (actuator, _):
        await actuator.apply(decision(3, 5))
        await actuator.apply(decision(3, 5))
    assert len(patches(api)) == 1


async def test_a_carried_out_number_is_seen_without_any_watch(api: ApiServer, credentials: Any) -> None:
    """Who decides next must not see the number of before."""
    api.forbidden.add(("watch", "deployments"))
    async with watching(credentials, look=3600) as (actuator, lines):
        await until(lambda: actuator.view.at is not None and lines.events("kubernetes watch failed"))
        await actuator.apply(decision(3, 5))
        assert actuator.view.replicas == Replicas(ready=3, warming=2, desired=5)


async def test_a_scale_to_zero_is_sent_as_zero(api: ApiServer, credentials: Any) -> None:
    """Kubernetes leaves a 0 out when it answers; we must not when we ask."""
    async with watching(credentials) as (actuator, _):
        await actuator.apply(decision(3, 0))
        assert api.replicas("shop") == 0
        await actuator.apply(decision(0, 2))
        assert api.replicas("shop") == 2


async def test_a_statefulset_is_scaled_by_its_own_path(api: ApiServer, credentials: Any) -> None:
    """``resource = "statefulset"``."""
    api.create("shop", 2, ready=2, resource="statefulsets")
    async with watching(credentials, resource="statefulset") as (actuator, _):
        await until(lambda: actuator.view.replicas.ready == 2)
        await actuator.apply(decision(2, 4))
        assert (api.replicas("shop", resource="statefulsets"), api.replicas("shop")) == (4, 3)


async def test_a_conflict_is_read_again_and_tried_again(api: ApiServer, credentials: Any) -> None:
    """Its controller changes the object between our reading and our patch, and not the number."""
    turns = [2]

    def somebody() -> None:
        if turns:
            api.set_ready("shop", turns.pop())

    api.before_patch = somebody
    async with watching(credentials) as (actuator, _):
        await actuator.apply(decision(3, 6))
    assert api.replicas("shop") == 6
    versions = [patch["metadata"]["resourceVersion"] for patch in patches(api)]
    assert len(set(versions)) == 2


async def test_a_second_conflict_is_a_failure(api: ApiServer, credentials: Any) -> None:
    """Once is chance, twice is somebody who fights us."""
    numbers = iter(range(10, 99))
    api.before_patch = lambda: api.set_ready("shop", next(numbers))
    async with watching(credentials) as (actuator, _):
        with pytest.raises(ActuatorFailed, match="somebody else") as failed:
            await actuator.apply(decision(3, 6))
    assert failed.value.reason == "conflict"
    assert len(patches(api)) == 2


async def test_a_number_that_somebody_has_just_set_stays(api: ApiServer, credentials: Any) -> None:
    """What was decided from three replicas does not make six of the sixteen that nobody has seen yet."""
    api.before_patch = lambda: api.set_replicas("shop", 16)
    async with watching(credentials) as (actuator, _):
        with pytest.raises(ActuatorFailed, match="set it to 16") as failed:
            await actuator.apply(decision(3, 6))
    assert failed.value.reason == "conflict"
    assert api.replicas("shop") == 16


async def test_a_decision_that_follows_another_needs_no_look_between(api: ApiServer, credentials: Any) -> None:
    """Both were decided from three: the number that is found is the one that we have set."""
    async with watching(credentials) as (actuator, _):
        await actuator.apply(decision(3, 5))
        await actuator.apply(decision(3, 6))
    assert api.replicas("shop") == 6


async def test_a_word_from_before_the_patch_comes_too_late(api: ApiServer, credentials: Any) -> None:
    """A watch that tells of an older version does not take the number back."""
    async with watching(credentials, look=3600) as (actuator, _):
        await until(lambda: actuator.view.replicas.ready == 3 and api.watches == 1)
        await actuator.apply(decision(3, 5))
        assert actuator._workload is not None
        old = replace(
            actuator._workload,
            metadata=replace(actuator._workload.metadata, resource_version="7"),
            spec=replace(actuator._workload.spec, replicas=3),
        )
        actuator._heard(old)
        assert actuator.view.replicas.desired == 5


async def test_after_a_line_that_is_none_the_list_is_read_anew(api: ApiServer, credentials: Any) -> None:
    """What was missed with it is not asked for again from the same version, which would bring the same line."""
    async with watching(credentials, look=3600) as (actuator, lines):
        await until(lambda: actuator.view.replicas.ready == 3 and api.watches == 1)
        api._version += 1
        crooked = {"kind": "Deployment", "metadata": {"name": "shop"}, "spec": {"replicas": -1}}
        api._log.append((api._version, "MODIFIED", crooked))
        api.set_ready("shop", 2)
        await until(lambda: actuator.view.replicas.ready == 2)
        assert len(lines.events("kubernetes watch failed")) == 1


async def test_a_failed_patch_is_the_beginning_of_no_cold_start(api: ApiServer, credentials: Any) -> None:
    """What was refused was not asked for, so a replica that comes by itself later has no time."""
    async with watching(credentials) as (actuator, _):
        await until(lambda: actuator.view.at)
        api.forbidden.add(("patch", "deployments/scale"))
        with pytest.raises(ActuatorFailed):
            await actuator.apply(decision(3, 5))
        assert repr(actuator._cold_starts) == "<ColdStarts waiting=0 measured=0>"
        api.set_ready("shop", 5)
        await until(lambda: actuator.view.replicas.ready == 5)
        assert actuator.view.cold_starts == ()


async def test_the_view_says_who_has_set_the_number(api: ApiServer, credentials: Any) -> None:
    """By the manager's name in the object's managed fields, where the API server keeps them."""
    async with watching(credentials) as (actuator, _):
        await until(lambda: actuator.view.at)
        assert actuator.view.changed_by == ""
        fields = {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale"}
        other = {"manager": "helm", "fieldsV1": {"f:spec": {"f:template": {}}}}
        api._objects["default", "deployments", "shop"]["metadata"]["managedFields"] = [fields, other]
        api.set_replicas("shop", 16)
        await until(lambda: actuator.view.replicas.desired == 16)
        assert actuator.view.changed_by == "kubectl"


@pytest.mark.parametrize("name", ["shop-hpa", "keda-hpa-shop"])
async def test_beside_an_autoscaler_nothing_is_patched(api: ApiServer, credentials: Any, name: str) -> None:
    """Two that write the same number fight; KEDA's own HPAs count."""
    api.add_autoscaler("other-hpa", "other")
    api.add_autoscaler("stateful-hpa", "shop", kind="StatefulSet")
    async with watching(credentials) as (actuator, _):
        await until(lambda: actuator.view.problem == "")
        assert actuator.view.owner is None
        api.add_autoscaler(name, "shop")
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.apply(decision(3, 5))
        assert (failed.value.reason, actuator.view.owner) == ("owned", name)
        assert name in failed.value.detail
        assert patches(api) == []
        api.autoscalers.clear()
        await until(lambda: actuator.view.owner is None)
        await actuator.apply(decision(3, 5))
    assert api.replicas("shop") == 5


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("get", "deployments/scale"), ("patch", "deployments/scale"), ("list", "horizontalpodautoscalers")],
)
async def test_a_missing_right_is_named(api: ApiServer, credentials: Any, verb: str, resource: str) -> None:
    """403: the failure says which verb on which resource the role lacks, and nothing is changed."""
    api.forbidden.add((verb, resource))
    async with watching(credentials) as (actuator, _):
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.apply(decision(3, 5))
    assert failed.value.reason == "forbidden"
    assert f'"{verb}" on "{resource}"' in failed.value.detail
    assert api.replicas("shop") == 3


async def test_what_cannot_be_read_is_a_problem_of_the_view(api: ApiServer, credentials: Any) -> None:
    """Without the right to get or watch it, nothing is known, and the view says so."""
    api.forbidden |= {("get", "deployments"), ("list", "deployments")}
    async with watching(credentials) as (actuator, _):
        await until(lambda: "forbidden" in actuator.view.problem)
        assert actuator.view.at is None
        api.forbidden.clear()
        await until(lambda: actuator.view.at is not None and actuator.view.problem == "")


async def test_a_deployment_that_is_not_there(api: ApiServer, credentials: Any) -> None:
    """404: not found, by name; it comes to be, and is seen."""
    api.delete("shop")
    async with watching(credentials) as (actuator, _):
        with pytest.raises(ActuatorFailed, match="Deployment shop in namespace default") as failed:
            await actuator.apply(decision(3, 5))
        assert failed.value.reason == "not_found"
        await until(lambda: "not_found" in actuator.view.problem)
        assert actuator.view.at is None
        api.create("shop", 2, ready=1)
        await until(lambda: actuator.view.replicas == Replicas(ready=1, warming=1, desired=2))
        await until(lambda: actuator.view.problem == "")


async def test_a_deleted_deployment_never_reads_as_zero(api: ApiServer, credentials: Any) -> None:
    """Its last numbers stay, and grow old."""
    async with watching(credentials) as (actuator, _):
        await until(lambda: actuator.view.at is not None and api.watches == 1)
        api.delete("shop")
        await until(lambda: "not_found" in actuator.view.problem)
        before = actuator.view.at
        asked = len(api.requests)
        await until(lambda: len(api.requests) >= asked + 4)
        assert actuator.view.at == before
        assert actuator.view.replicas.ready == 3


async def test_410_while_watching_lists_anew(api: ApiServer, credentials: Any) -> None:
    """A version that is too old, said inside of the stream: list again, follow from there."""
    async with watching(credentials, look=3600) as (actuator, lines):
        await until(lambda: api.watches == 1)
        api.expire_watches()
        await until(lambda: sum("watch" not in path for _, path, _ in api.requests if "fieldSelector" in path) == 2)
        await until(lambda: api.watches == 1)
        api.set_ready("shop", 1)
        await until(lambda: actuator.view.replicas.ready == 1)
        assert lines.events("kubernetes watch failed") == []


async def test_410_at_the_door_lists_anew(api: ApiServer, credentials: Any) -> None:
    """The same, said as a status when the watch begins again after a break."""
    async with watching(credentials, look=3600) as (actuator, _):
        await until(lambda: api.watches == 1)
        api.forget()
        await until(lambda: api.watches == 1)
        api.set_ready("shop", 2)
        await until(lambda: actuator.view.replicas.ready == 2)


async def test_a_bookmark_moves_the_version_on(api: ApiServer, credentials: Any) -> None:
    """After a break the watch goes on from the bookmark, without a list."""
    async with watching(credentials, look=3600) as (actuator, _):
        await until(lambda: api.watches == 1)
        api.bookmark()
        bookmark = str(api._version)
        await until(lambda: actuator._watch._version == bookmark)
        api.cut()
        await until(lambda: any(f"resourceVersion={bookmark}&" in path for _, path, _ in api.requests))
        lists = [path for _, path, _ in api.requests if "fieldSelector" in path and "watch" not in path]
        assert len(lists) == 1


async def test_a_dead_api_server_leaves_the_view_behind(api: ApiServer, credentials: Any) -> None:
    """Its moment stays, so nothing is scaled in; when the server is back, all goes on."""
    async with watching(credentials) as (actuator, lines):
        await until(lambda: actuator.view.at is not None and api.watches == 1)
        await api.stop()
        await until(lambda: "unreachable" in actuator.view.problem)
        before = actuator.view.at
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.apply(decision(3, 2))
        assert failed.value.reason == "unreachable"
        assert actuator.view.at == before
        assert actuator.view.replicas.ready == 3
        api.create("shop", 4, ready=4)  # while nobody could watch
        await api.start()
        await until(lambda: actuator.view.replicas.ready == 4 and actuator.view.problem == "")
        assert actuator.view.at > before
        await until(lambda: api.watches == 1)
        assert lines.events("kubernetes target is seen")


async def test_an_api_server_that_hangs_is_given_up(api: ApiServer, credentials: Any) -> None:
    """A decision ends within its time."""
    async with watching(credentials, within=0.3) as (actuator, _):
        await until(lambda: actuator.view.at)
        api.is_hanging = True
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.apply(decision(3, 5))
        assert failed.value.reason == "unreachable"
        await until(lambda: "unreachable" in actuator.view.problem)


async def test_a_rotated_token_is_read_anew(api: ApiServer, credentials: Any, account: Path) -> None:
    """The kubelet has replaced the file; nobody restarts us."""
    async with watching(credentials) as (actuator, _):
        await until(lambda: actuator.view.at)
        api.token = "the next one"
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.apply(decision(3, 4))
        assert failed.value.reason == "unauthorized"
        (account / "token").write_text("the next one\n")
        await actuator.apply(decision(3, 4))
    assert api.replicas("shop") == 4


async def test_another_cluster_s_certificate_is_not_believed(api: ApiServer, credentials: Any, account: Path) -> None:
    """TLS is checked: the token never goes to somebody whom the cluster's CA does not know."""
    async with running_api_server() as stranger:
        stranger.ca.cert_pem.write_to_path(str(account / "ca.crt"))
        async with watching(credentials) as (actuator, _):
            with pytest.raises(ActuatorFailed) as failed:
                await actuator.apply(decision(3, 4))
    assert failed.value.reason == "unreachable"
    assert api.requests == []


async def test_a_server_error_is_unavailable(api: ApiServer, credentials: Any) -> None:
    """500 and 429 are answers, too."""
    async with watching(credentials, look=3600) as (actuator, _):
        await until(lambda: actuator.view.at)
        for code, reason, word in ((500, "InternalError", "unavailable"), (429, "TooManyRequests", "busy")):
            api.refuse_once("PATCH", "/scale", code, reason)
            with pytest.raises(ActuatorFailed) as failed:
                await actuator.apply(decision(3, 4))
            assert failed.value.reason == word


async def test_a_stuck_rollout_is_a_problem(api: ApiServer, credentials: Any) -> None:
    """More replicas of what does not start help nobody, and somebody should know."""
    async with watching(credentials) as (actuator, _):
        await until(lambda: actuator.view.at)
        condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "dead"}
        api.set_ready("shop", 3, updatedReplicas=1, conditions=[condition])
        await until(lambda: actuator.view.problem == "rollout_stuck: 1 of 3 replicas are up to date: dead")


async def test_a_kubeconfig_with_a_token(api: ApiServer, tmp_path: Path) -> None:
    """From outside of a cluster."""
    file = tmp_path / "config"
    file.write_text(api.kubeconfig({"token": api.token}))
    async with watching(partial(read_kubeconfig, file)) as (actuator, _):
        await actuator.apply(decision(3, 4))
    assert api.replicas("shop") == 4


async def test_a_kubeconfig_with_a_client_certificate(api: ApiServer, tmp_path: Path) -> None:
    """As kubeadm and kind write it: files beside it, and no token."""
    file = tmp_path / "config"
    api.client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    api.client.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    file.write_text(api.kubeconfig({"client-certificate": "client.pem", "client-key": "key.pem"}))
    async with watching(partial(read_kubeconfig, file, "here")) as (actuator, _):
        await actuator.apply(decision(3, 4))
    assert api.replicas("shop") == 4


async def test_stopping_leaves_nothing(api: ApiServer, credentials: Any) -> None:
    """No watch goes on, and the replicas are as they were."""
    async with watching(credentials) as (actuator, _):
        await until(lambda: api.watches == 1)
    await until(lambda: api.watches == 0)
    assert api.replicas("shop") == 3
    assert actuator._tasks == []


async def test_after_a_line_that_cannot_be_read_the_watch_begins_anew(api: ApiServer, credentials: Any) -> None:
    """Who goes on from the version before it would read the same line again, for ever."""
    async with watching(credentials, look=3600) as (actuator, lines):
        await until(lambda: actuator.view.at is not None and api.watches == 1)
        api.garble()
        await until(lambda: lines.events("kubernetes watch failed"))
        api.set_ready("shop", 2)
        await until(lambda: actuator.view.replicas.ready == 2)


async def test_a_patch_that_failed_begins_no_cold_start(api: ApiServer, credentials: Any) -> None:
    """When somebody else scales it later, the time runs from then."""
    clock = SystemClock()
    async with watching(credentials, look=3600) as (actuator, _):
        await until(lambda: actuator.view.at is not None and api.watches == 1)
        api.forbidden.add(("patch", "deployments/scale"))
        with pytest.raises(ActuatorFailed):
            await actuator.apply(decision(3, 5))
        await asyncio.sleep(0.3)
        begun = clock.now()
        api.set_replicas("shop", 5)
        await until(lambda: actuator.view.replicas.desired == 5)
        api.set_ready("shop", 5)
        await until(lambda: len(actuator.view.cold_starts) == 2)
        assert max(actuator.view.cold_starts) <= clock.now() - begun

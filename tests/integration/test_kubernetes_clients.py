"""The test API server is one to other clients than ours, so what our actuator meets there is what others make."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client, watch

from tests.support.kubernetes import ApiServer, running_api_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

KUBECTL = shutil.which("kubectl")


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with running_api_server() as server:
        server.create("shop", 3, ready=2)
        server.create("carts", 2, ready=2, resource="statefulsets")
        yield server


@pytest.fixture
def kubectl(api: ApiServer, tmp_path: Path) -> Callable[..., Awaitable[tuple[int, str]]]:
    if KUBECTL is None:
        pytest.skip("kubectl is not installed")
    (tmp_path / "config").write_text(api.kubeconfig({"token": api.token}))

    async def run(*arguments: str, said: object = None) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            f"--kubeconfig={tmp_path}/config",
            f"--cache-dir={tmp_path}/cache",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        )
        text, _ = await process.communicate(json.dumps(said).encode())
        return int(process.returncode or 0), text.decode()

    return run


def manifest(**spec: Any) -> dict[str, Any]:
    labels = {"app": "shop"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "shop", "image": "shop:2"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


async def test_kubectl_gets_and_scales(api: ApiServer, kubectl: Any) -> None:
    """What it reads is what there is, and a scale of its own is a change that watchers see."""
    status, text = await kubectl("get", "deployment", "shop", "-o", "jsonpath={.spec.replicas} {.status.readyReplicas}")
    assert (status, text) == (0, "3 2")
    status, text = await kubectl("scale", "deployment", "shop", "--replicas=5")
    assert (status, text) == (0, "deployment.apps/shop scaled\n")
    assert api.replicas("shop") == 5
    status, text = await kubectl("scale", "deployment", "shop", "--current-replicas=4", "--replicas=1")
    assert status == 1
    assert api.replicas("shop") == 5


async def test_kubectl_applies_on_the_server(api: ApiServer, kubectl: Any) -> None:
    """A manifest with ``replicas`` undoes what was scaled only by force; one without it leaves the number alone."""
    apply = ("apply", "--server-side", "--validate=false", "-f", "-")
    assert (await kubectl(*apply, said=manifest(replicas=4)))[0] == 0
    assert api.replicas("shop") == 4
    assert (await kubectl("scale", "deployment", "shop", "--replicas=9"))[0] == 0
    status, text = await kubectl(*apply, said=manifest(replicas=4))
    assert status == 1
    assert ".spec.replicas" in text
    assert api.replicas("shop") == 9
    assert (await kubectl(*apply, said=manifest()))[0] == 0
    assert api.replicas("shop") == 9
    assert (await kubectl(*apply, "--force-conflicts", said=manifest(replicas=4)))[0] == 0
    assert api.replicas("shop") == 4


async def test_the_client_of_pypi_reads_what_there_is(api: ApiServer, tmp_path: Path) -> None:
    """Its models refuse an object without what Kubernetes requires: a selector, a template, a service's name."""
    api.add_autoscaler("shop", "shop")
    api.ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    configuration = client.Configuration()
    configuration.host, configuration.ssl_ca_cert = f"https://127.0.0.1:{api.port}", str(tmp_path / "ca.crt")
    configuration.api_key["authorization"] = f"Bearer {api.token}"

    def use() -> tuple[Any, ...]:
        with client.ApiClient(configuration) as connection:
            apps, scalers = client.AppsV1Api(connection), client.AutoscalingV2Api(connection)
            deployment = apps.read_namespaced_deployment("shop", "default")
            stateful = apps.read_namespaced_stateful_set("carts", "default")
            listed = apps.list_namespaced_deployment("default").items
            scaler = scalers.list_namespaced_horizontal_pod_autoscaler("default").items[0]
            scale = apps.read_namespaced_deployment_scale("shop", "default")
            watching = watch.Watch()
            events = []
            for event in watching.stream(apps.list_namespaced_deployment, "default", _request_timeout=5):
                events.append((event["type"], event["object"].spec.replicas))
                watching.stop()
            return (
                (
                    deployment.spec.replicas,
                    deployment.status.ready_replicas,
                    deployment.spec.template.spec.containers[0].name,
                ),
                (stateful.spec.replicas, stateful.spec.service_name),
                [one.metadata.name for one in listed],
                scaler.spec.scale_target_ref.name,
                scale.spec.replicas,
                events,
            )

    assert await asyncio.to_thread(use) == ((3, 2, "shop"), (2, "shop"), ["shop"], "shop", 3, [("ADDED", 3)])

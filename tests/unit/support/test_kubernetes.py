"""The stand-in for an API server: what another client, kubectl, makes of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.kubernetes import ApiServer, running_api_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


async def kubectl(api: ApiServer, folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    file = folder / "kubeconfig"
    file.write_text(api.kubeconfig({"token": api.token}))
    process = await asyncio.create_subprocess_exec(
        *("kubectl", f"--kubeconfig={file}", f"--cache-dir={folder}/cache", "--namespace=default", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_kubectl_scales_and_reads(tmp_path: Path) -> None:
    """It believes the certificate, finds the resource, scales it by the subresource, and reads it back."""
    async with running_api_server() as api:
        api.create("shop", 3, ready=3)
        api.create("store", 1, ready=1, resource="statefulsets")
        assert await kubectl(api, tmp_path, "scale", "deployment/shop", "--replicas=5") == (
            0,
            "deployment.apps/shop scaled\n",
            "",
        )
        status, _, err = await kubectl(api, tmp_path, "scale", "statefulset/store", "--replicas=0")
        assert (status, err) == (0, "")
        assert (api.replicas("shop"), api.replicas("store", resource="statefulsets")) == (5, 0)
        _, out, _ = await kubectl(api, tmp_path, "get", "deployment", "shop", "--output=json")
        assert json.loads(out)["spec"]["replicas"] == 5


async def test_kubectl_hears_what_it_is_refused(tmp_path: Path) -> None:
    """Status objects are understood: who may not, what is not there, and a token that is none."""
    async with running_api_server() as api:
        api.create("shop", 3)
        api.forbidden.add(("patch", "deployments/scale"))
        status, _, err = await kubectl(api, tmp_path, "scale", "deployment/shop", "--replicas=5")
        assert (status, "Error from server (Forbidden)" in err) == (1, True)
        status, _, err = await kubectl(api, tmp_path, "get", "deployment", "other")
        assert (status, err) == (1, 'Error from server (NotFound): deployments.apps "other" not found\n')

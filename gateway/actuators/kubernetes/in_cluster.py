"""The service account of the pod that we run in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.kubernetes.credentials import Credentials, read_text, tls_context, token_from

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_cluster(account: Path = ACCOUNT, environment: Mapping[str, str] = os.environ) -> Credentials:
    """Credentials as Kubernetes puts them into every pod; ActuatorFailed outside of one."""
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        detail = "there is no KUBERNETES_SERVICE_HOST, so this is no pod: name a kubeconfig"
        raise ActuatorFailed("no_credentials", detail)
    token = token_from(account / "token")
    token()  # a pod with automountServiceAccountToken: false has none, and should say so at once
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Credentials(server, token, tls_context(read_text(account / "ca.crt", "the cluster's CA")))

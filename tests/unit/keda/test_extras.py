"""What needs an extra is asked for only by who uses it."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = "import sys; sys.modules.update(dict.fromkeys(('grpc', 'google', 'yaml'))); "


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False)


def test_the_gateway_starts_without_grpc_and_yaml() -> None:
    """The command line, all actuators and the settings of the scaler import nothing of them."""
    ran = run("import gateway.cli.app, gateway.actuators.choice, gateway.keda.settings, gateway.keda.source")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_kubeconfig_without_yaml_says_what_to_install() -> None:
    """In words, as a failure of the decision."""
    ran = run(
        "from pathlib import Path; from gateway.actuators.kubernetes.kubeconfig import read_kubeconfig; "
        "read_kubeconfig(Path('/none'))"
    )
    assert "install gateway[kubernetes]" in ran.stderr.splitlines()[-1]

"""Who we are towards an API server: what can be used, and what is refused by name."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.kubernetes.in_cluster import in_cluster
from gateway.actuators.kubernetes.kubeconfig import read_kubeconfig
from tests.support.kubernetes import ApiServer

if TYPE_CHECKING:
    from pathlib import Path

SERVER = ApiServer()


def written(folder: Path, user: dict[str, Any], **cluster: Any) -> Path:
    file = folder / "config"
    file.write_text(SERVER.kubeconfig(user, **cluster))
    return file


@pytest.mark.parametrize(
    ("user", "cluster", "word"),
    [
        ({"exec": {"command": "aws"}}, {}, "exec"),
        ({"auth-provider": {"name": "gcp"}}, {}, "auth-provider"),
        ({"username": "admin", "password": "x"}, {}, "username"),
        ({"token": "x"}, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
        ({"token": "x"}, {"proxy-url": "http://proxy"}, "proxy-url"),
        ({"token": "x"}, {"server": "http://10.0.0.1"}, "https"),
        ({"token": "x"}, {"certificate-authority-data": "!"}, "base64"),
        ({"token": "x"}, {"certificate-authority-data": base64.b64encode(b"no pem").decode()}, "PEM"),
        ({"client-certificate-data": "QQ=="}, {}, "belong together"),
        ({"client-certificate-data": "QQ==", "client-key-data": "QQ=="}, {}, "do not fit"),
        ({"client-certificate": "absent.pem", "client-key": "absent.key"}, {}, "No such file"),
        ({"token": 1}, {}, "not a kubeconfig"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, user: Any, cluster: Any, word: str) -> None:
    """No program is run, nobody is believed blindly, and nothing is half used."""
    with pytest.raises(ActuatorFailed, match=word) as failed:
        read_kubeconfig(written(tmp_path, user, **cluster))
    assert failed.value.reason == "no_credentials"


def test_a_context_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    """A slip of the pen is seen."""
    with pytest.raises(ActuatorFailed, match='no context "her"; it has here'):
        read_kubeconfig(written(tmp_path, {"token": "x"}), "her")


def test_yaml_that_is_none(tmp_path: Path) -> None:
    """A broken file says so in one line."""
    file = tmp_path / "config"
    file.write_text("clusters: [\n")
    with pytest.raises(ActuatorFailed, match="not a kubeconfig"):
        read_kubeconfig(file)


def test_kubectl_proxy_on_this_machine(tmp_path: Path) -> None:
    """Plain HTTP on loopback has nothing to show and nothing to check; no token goes over it."""
    found = read_kubeconfig(written(tmp_path, {"token": "x"}, server="http://127.0.0.1:8001/"))
    assert (found.server, found.token(), found.tls) == ("http://127.0.0.1:8001", None, None)


def test_data_and_files_of_tokens(tmp_path: Path) -> None:
    """A token file is read anew each time, relative to the kubeconfig."""
    (tmp_path / "token").write_text("first\n")
    found = read_kubeconfig(written(tmp_path, {"tokenFile": "token"}))
    assert found.token() == "first"
    (tmp_path / "token").write_text("second\n")
    assert found.token() == "second"
    (tmp_path / "token").unlink()
    with pytest.raises(ActuatorFailed, match="the token cannot be read"):
        found.token()


def test_a_client_certificate_as_data(tmp_path: Path) -> None:
    """It is loaded, and no key is left on the disk."""
    before = set(tmp_path.iterdir())
    certificate = trustme.CA().issue_cert("gateway")
    user = {
        "client-certificate-data": base64.b64encode(certificate.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(certificate.private_key_pem.bytes()).decode(),
    }
    assert read_kubeconfig(written(tmp_path, user)).tls is not None
    assert {each.name for each in set(tmp_path.iterdir()) - before} == {"config"}


def test_outside_of_a_pod() -> None:
    """Without the variables of a pod there is no cluster to be in."""
    with pytest.raises(ActuatorFailed, match="KUBERNETES_SERVICE_HOST"):
        in_cluster(environment={})


def test_a_pod_without_a_token(tmp_path: Path) -> None:
    """automountServiceAccountToken: false is said at once."""
    with pytest.raises(ActuatorFailed, match="the token cannot be read"):
        in_cluster(tmp_path, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


def test_an_ipv6_cluster(tmp_path: Path) -> None:
    """Its address stands in brackets."""
    SERVER.write_account(tmp_path)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert in_cluster(tmp_path, environment).server == "https://[fd00::1]:6443"


def test_the_kubeconfig_of_these_tests_is_json_and_so_yaml(tmp_path: Path) -> None:
    """The stand-in writes what it says."""
    assert json.loads(written(tmp_path, {}).read_text())["kind"] == "Config"

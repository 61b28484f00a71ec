"""The manifests in config/kubernetes: they parse, fit Kubernetes' schemas, and speak of things that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.actuators.kubernetes.target import Target
from gateway.config.load import load
from gateway.keda.answers import read_wanted, sizes, values
from gateway.signals.signals import Signals
from gateway.telemetry.signals import series_of

FOLDER = Path(__file__).parents[3] / "config" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
FLAT = {**Signals(at=0.0, signal_valid=1, slots_per_replica=8.0).flat(), "desired_replicas": 3.0}
DOMAIN = ".default.svc.cluster.local"


def objects(name: str = "") -> list[dict[str, Any]]:
    """All objects of one file, or of all."""
    files = [file for file in FILES if name in {"", file.stem}]
    return [each for file in files for each in yaml.safe_load_all(file.read_text())]


def one(kind: str, name: str) -> dict[str, Any]:
    """The only object of this kind and name."""
    (found,) = [each for each in objects() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def triggers(*kinds: str) -> list[dict[str, Any]]:
    """All triggers of these types."""
    return [
        trigger
        for each in objects()
        if each["kind"] == "ScaledObject"
        for trigger in each["spec"]["triggers"]
        if trigger["type"] in kinds
    ]


def port_of(address: str) -> tuple[str, int]:
    """The Service and the port of an address inside of the cluster."""
    host, _, port = address.removeprefix("http://").partition("/")[0].partition(":")
    assert host.endswith(DOMAIN)
    return host.removesuffix(DOMAIN), int(port)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_own_objects_fit_their_schemas(file: Path, version: str) -> None:
    """Strictly: no key that the API does not know; a newer key only where its comment says so."""
    for each in yaml.safe_load_all(file.read_text()):
        if each["apiVersion"].startswith("keda.sh"):
            continue
        if version == "1.30" and each["kind"] == "HorizontalPodAutoscaler":
            del each["spec"]["behavior"]["scaleUp"]["tolerance"]
        kubernetes_validate.validate(each, version, strict=True)


def test_every_scaled_object_has_the_shape_that_keda_reads() -> None:
    """Each scales the Deployment that there is, between bounds, with a fallback where data may be missing."""
    found = [each for each in objects() if each["kind"] == "ScaledObject"]
    assert len(found) == 4
    for each in found:
        assert each["apiVersion"] == "keda.sh/v1alpha1"
        spec = each["spec"]
        assert one("Deployment", spec["scaleTargetRef"]["name"])
        assert 0 < spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        for trigger in spec["triggers"]:
            assert trigger["metricType"] == "AverageValue"
            assert all(type(value) is str for value in trigger["metadata"].values())


def test_triggers_for_our_scaler_are_answered() -> None:
    """What they name is what the server knows, at the address that it has."""
    found = triggers("external", "external-push")
    assert len(found) == 2
    for trigger in found:
        wanted = read_wanted(trigger["metadata"], ["shop"])
        assert values(wanted, FLAT)
        assert all(size.exact > 0 for size in sizes(wanted, FLAT, 8.0))
        name, port = port_of(trigger["metadata"]["scalerAddress"])
        assert ("keda", port) in {(each["name"], each["port"]) for each in one("Service", name)["spec"]["ports"]}


def test_metrics_api_points_at_a_signal() -> None:
    """``signals.NAME`` on the page of the upstream, at the admin address."""
    (trigger,) = triggers("metrics-api")
    data = trigger["metadata"]
    place, _, name = data["valueLocation"].partition(".")
    assert (place, name in FLAT) == ("signals", True)
    assert data["url"].endswith("/v1/signals/shop")
    service, port = port_of(data["url"])
    assert ("admin", port) in {(each["name"], each["port"]) for each in one("Service", service)["spec"]["ports"]}


def test_prometheus_asks_for_series_that_we_have_and_does_not_read_nothing_as_zero() -> None:
    """KEDA's default turns an empty answer into 0."""
    (trigger,) = triggers("prometheus")
    ours = {series.family for name in FLAT if (series := series_of(name))}
    asked = set(re.findall(r"gateway_\w+", trigger["metadata"]["query"]))
    assert len(asked) == 3
    assert asked <= ours
    assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_the_rule_for_the_adapter_is_the_query_for_keda() -> None:
    """Both ask for validity too, and neither takes a part of the sum for all of it."""
    (trigger,) = triggers("prometheus")
    text = (FOLDER / "hpa.yaml").read_text()
    rule = " ".join(line.removeprefix("#").strip() for line in text[text.index("metricsQuery") :].splitlines()[1:5])
    assert rule.replace("<<.LabelMatchers>>", 'upstream="shop"') == trigger["metadata"]["query"]


def test_the_plain_autoscaler_asks_for_a_series_that_we_have() -> None:
    """Its metric, its target and a tolerance that does not swallow steps of one."""
    found = one("HorizontalPodAutoscaler", "shop")["spec"]
    assert one("Deployment", found["scaleTargetRef"]["name"])
    (metric,) = found["metrics"]
    assert metric["external"]["metric"]["name"] in {series.family for name in FLAT if (series := series_of(name))}
    assert float(found["behavior"]["scaleUp"]["tolerance"]) == 0


def test_the_role_allows_what_the_actuator_does_and_no_more() -> None:
    """By verb, resource and name."""
    role = one("Role", "gateway-scaler")
    allowed = {
        (verb, group, resource, *rule.get("resourceNames", ()))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    resource = Target("default", "shop").collection.rpartition("/")[2]
    assert allowed == {
        *((verb, "apps", resource, "shop") for verb in ("get", "list", "watch")),
        *((verb, "apps", f"{resource}/scale", "shop") for verb in ("get", "patch")),
        ("list", "autoscaling", "horizontalpodautoscalers"),
    }
    binding = one("RoleBinding", "gateway-scaler")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert one(subject["kind"], subject["name"])
    assert one("Deployment", "gateway")["spec"]["template"]["spec"]["serviceAccountName"] == subject["name"]


def test_labels_ports_and_volumes_refer_to_each_other() -> None:
    """Services and budgets find pods, ports have names, mounts have volumes, volumes have sources."""
    pods = [each["spec"]["template"] for each in objects() if each["kind"] == "Deployment"]
    for each in objects():
        if each["kind"] not in {"Service", "PodDisruptionBudget", "Deployment"}:
            continue
        selector = each["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        (pod,) = [pod for pod in pods if wanted <= pod["metadata"]["labels"].items()]
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in each["spec"].get("ports", ())} <= ports
    for pod in pods:
        volumes = {each["name"]: each for each in pod["spec"].get("volumes", ())}
        for container in pod["spec"]["containers"]:
            assert {each["name"] for each in container.get("volumeMounts", ())} <= volumes.keys()
        for each in volumes.values():
            if "configMap" in each:
                assert one("ConfigMap", each["configMap"]["name"])


def test_the_configuration_inside_is_one(tmp_path: Path) -> None:
    """It checks without problems, listens where the Services lead, and its upstream is the scaled Service."""
    text = one("ConfigMap", "gateway")["data"]["gateway.toml"]
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    settings = load(file).settings
    assert settings.keda is not None
    container = one("Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    listens = [*settings.gateway.listen, settings.admin.listen, settings.keda.listen]
    assert [int(each.rpartition(":")[2]) for each in listens] == [ports[name] for name in ("http", "admin", "keda")]
    (endpoint,) = settings.upstreams["shop"].endpoints
    name, port = port_of(str(endpoint))
    assert port in {each["port"] for each in one("Service", name)["spec"]["ports"]}
    grace = one("Deployment", "gateway")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings.gateway.drain_timeout + 5


def test_nobody_writes_the_number_of_what_is_scaled() -> None:
    """A manifest with ``replicas`` would undo every decision each time it is applied."""
    assert "replicas" not in one("Deployment", "shop")["spec"]

"""What must hold between the keys of an actuator."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.scaling.settings import ActuatorSettings, broken_rules, with_full_paths

GOOD = [
    ActuatorSettings(),
    ActuatorSettings(kind="pool"),
    ActuatorSettings(kind="kubernetes", namespace="prod", deployment="shop"),
    ActuatorSettings(kind="kubernetes", deployment="shop", kubeconfig="config", context="staging"),
    ActuatorSettings(kind="webhook", url="https://scaler.example.com/", secret_file="secret", ca_file="ca.crt"),
    ActuatorSettings(kind="exec", command=("scale", "shop={to}", "{other-brace"), count=("count",)),
]
BAD = [
    (ActuatorSettings(kind="kubernetes"), "deployment", "is missing"),
    (ActuatorSettings(kind="kubernetes", deployment="shop", context="staging"), "context", "kubeconfig"),
    (ActuatorSettings(kind="webhook", secret_file="secret"), "url", "is missing"),
    (ActuatorSettings(kind="webhook", url="http://x/"), "secret_file", "is missing"),
    (ActuatorSettings(kind="webhook", url="http://x/", secret_file="s", ca_file="c"), "ca_file", "https"),
    (ActuatorSettings(kind="webhook", url="http://x/", secret_file="s", deployment="d"), "deployment", "kubernetes"),
    (ActuatorSettings(kind="exec"), "command", "is missing"),
    (ActuatorSettings(kind="exec", command=("scale",)), "command", "{to}"),
    (ActuatorSettings(kind="exec", command=("scale", "{to}", "{too}")), "command", "got {too}"),
    (ActuatorSettings(deployment="shop"), "deployment", 'kind is "publish"'),
    (ActuatorSettings(namespace="prod"), "namespace", 'kind is "publish"'),
]


@pytest.mark.parametrize("settings", GOOD, ids=lambda each: each.kind)
def test_what_fits_breaks_no_rule(settings: ActuatorSettings) -> None:
    """Each kind with its own keys."""
    assert broken_rules(settings) == {}


@pytest.mark.parametrize(("settings", "key", "word"), BAD)
def test_what_does_not_fit_is_named(settings: ActuatorSettings, key: str, word: str) -> None:
    """By its key, and only it."""
    broken = broken_rules(settings)
    assert list(broken) == [key]
    assert word in broken[key]


def test_files_are_found_beside_the_configuration() -> None:
    """Absolute names stay."""
    settings = ActuatorSettings(kind="webhook", url="https://x/", secret_file="a/secret", ca_file="/etc/ca.crt")
    found = with_full_paths(settings, Path("/etc/gateway"))
    assert (found.secret_file, found.ca_file, found.kubeconfig) == ("/etc/gateway/a/secret", "/etc/ca.crt", None)

"""The files in config/ are true, and settings survive the way to another process."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.encoding import decode, encode
from gateway.config.load import load
from gateway.config.reference import reference
from gateway.config.schema import schema
from gateway.config.settings import Settings
from gateway.core.units import Seconds, Size

CONFIG = Path(__file__).parents[3] / "config"


def test_the_reference_is_up_to_date() -> None:
    """config/reference.toml is what the settings say today; remake it with python -m gateway.config.reference."""
    assert (CONFIG / "reference.toml").read_text() == reference()


def test_the_reference_says_the_defaults(tmp_path: Path) -> None:
    """Leaving every key out means the same as writing the reference's values."""
    bare = tmp_path / "bare.toml"
    bare.write_text(
        '[upstreams.app]\nendpoints = ["http://127.0.0.1:9001"]\n[routes.all]\nupstream = "app"\n'
        '[upstreams.reports.pool]\ncommand = ["python", "-m", "myapp", "--port", "{port}"]\n'
        '[routes.reports]\nupstream = "reports"\nmatch.path = "/reports/*"\n'
        "[classes.default]\n[classes.batch]\nband = 2\nmax_queue_share = 0.3\n"
    )
    assert load(CONFIG / "reference.toml").settings == load(bare).settings


@pytest.mark.parametrize("name", ["reference", "quickstart", "first"])
def test_files_for_people_check_clean(name: str) -> None:
    """What we hand out has neither problems nor warnings."""
    assert load(CONFIG / f"{name}.toml").warnings == ()


def test_the_reference_names_every_key() -> None:
    """No key of the settings is missing from the reference."""
    text = reference()
    for name, definition in schema()["$defs"].items():
        for key, said in definition["properties"].items():
            if said.get("description") != "Read but not acted on by this version." and name != "EndpointSettings":
                assert (
                    f"\n{key} = " in text
                    or f"\n# {key} = " in text
                    or f".{key}]" in text
                    or f"[{key}" in text
                    or f"{{ {key} = " in text
                    or f", {key} = " in text
                ), key


@pytest.mark.parametrize("name", ["reference", "quickstart", "first"])
def test_settings_survive_encoding(name: str) -> None:
    """What another process decodes is equal, and durations and sizes are still themselves."""
    settings = load(CONFIG / f"{name}.toml").settings
    copy = decode(encode(settings))
    assert copy == settings
    assert isinstance(copy, Settings)
    assert type(copy.gateway.drain_timeout) is Seconds
    assert type(copy.gateway.limits.head) is Size


def test_the_schema_refuses_unknown_keys_and_knows_planned_ones() -> None:
    """Editors complete what is there, accept what will be there and mark the rest."""
    made = schema()
    upstream = made["$defs"]["Upstream"]
    assert upstream["additionalProperties"] is False
    assert made["$defs"]["Settings"]["properties"]["fleet"] == {"description": "Read but not acted on by this version."}
    assert made["$defs"]["Gateway"]["properties"]["workers"]["anyOf"][0]["minimum"] == 0
    assert made["$defs"]["Limits"]["properties"]["head"]["default"] == "32KiB"
    assert made["$defs"]["Settings"]["required"] == ["upstreams", "routes"]

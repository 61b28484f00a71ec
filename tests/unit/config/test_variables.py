"""Environment variables in a configuration file: what is put in, and what is said when it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.errors import ConfigError
from gateway.config.load import load
from gateway.config.variables import with_variables

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.settings import Settings

FILE = """\
[gateway]
listen = ["127.0.0.1:${PORT:-8080}"]
workers = "${WORKERS:-3}"
[upstreams.app]
endpoints = ["${SCHEME}://${HOST:-127.0.0.1}:9001"]
retry.budget.ratio = "${RATIO:-0.1}"
[routes.all]
upstream = "app"
accept_priority = "${PRIORITY:-true}"
timeout = "${TIMEOUT:-3s}"
set_headers = { x-text = "$${HOME} $HOME" }
"""


def settings(folder: Path, text: str = FILE) -> Settings:
    file = folder / "gateway.toml"
    file.write_text(text)
    return load(file).settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "WORKERS", "HOST", "RATIO", "PRIORITY", "TIMEOUT", "NONE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCHEME", "http")


def test_values_and_defaults_stand_in_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts, durations, numbers and truth values come from variables; an empty one is as good as none."""
    monkeypatch.setenv("PORT", "1234")
    monkeypatch.setenv("TIMEOUT", "")
    found = settings(tmp_path)
    assert found.gateway.listen == ("127.0.0.1:1234",)
    assert found.gateway.workers == 3
    assert found.upstreams["app"].endpoints == ("http://127.0.0.1:9001",)
    assert found.upstreams["app"].retry.budget.ratio == 0.1
    assert found.routes["all"].accept_priority is True
    assert found.routes["all"].timeout == 3
    assert found.routes["all"].set_headers == {"x-text": "${HOME} $HOME"}


def test_every_variable_that_is_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable without a value or a default is an error at its line, with what to do; so is one that is no name."""
    monkeypatch.delenv("SCHEME")
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, FILE.replace("${PORT:-8080}", "${PO-RT}"))
    first, second = caught.value.problems
    assert (first.line, first.key) == (2, "gateway.listen[0]")
    assert first.rule == 'expected "${NAME}" or "${NAME:-default}"; "$${" is "${" itself'
    assert (second.line, second.key) == (5, "upstreams.app.endpoints[0]")
    assert second.rule.startswith("the environment variable SCHEME is not set; ")


def test_a_wrong_value_is_shown_with_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable to mend, and never the value of a secret one."""
    monkeypatch.setenv("WORKERS", "many")
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path)
    assert [problem.value for problem in caught.value.problems] == ['"many" from "${WORKERS:-3}"']
    monkeypatch.setenv("API_TOKEN", "hunter2\n")
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, FILE.replace("${WORKERS:-3}", "1").replace("$${HOME}", "${API_TOKEN}"))
    assert "hunter2" not in str(caught.value)


def test_what_a_variable_gives_is_not_read_again() -> None:
    """A value that looks like a variable is a text, and keys stay as they are."""
    data, written = with_variables({"${A}": {"b": ["${A}", 1]}}, {"A": "${B}"}, pytest.fail)  # type: ignore[arg-type]
    assert data == {"${A}": {"b": ["${B}", 1]}}
    assert written == {("${A}", "b", 0): "${A}"}


def test_a_text_of_digits_is_no_number_without_a_variable(tmp_path: Path) -> None:
    """Only what a variable gives is read as a number; a number in quotes is said to be one."""
    with pytest.raises(ConfigError, match=r"whole number in .* without quotes"):
        settings(tmp_path, FILE.replace("${WORKERS:-3}", "3"))

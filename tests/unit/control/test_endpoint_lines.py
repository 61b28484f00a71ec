"""What the log says of active checks."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import structlog
from structlog.testing import capture_logs

from gateway.checks.question import judge
from gateway.checks.settings import Question
from gateway.config.settings import Settings
from gateway.control.endpoints import EndpointTable
from gateway.upstream.settings import EndpointSettings


def test_each_change_has_a_line_and_what_stays_has_none() -> None:
    """An endpoint that goes down and comes back has two lines, however often it is checked meanwhile."""
    data: dict[str, Any] = {
        "upstreams": {"app": {"endpoints": ["http://127.0.0.1:1"]}},
        "routes": {"all": {"upstream": "app"}},
    }
    settings = msgspec.convert(data, Settings, dec_hook=lambda kind, text: kind.parse(text))
    sent: list[object] = []
    table = EndpointTable(settings, rng=random.Random(1), log=structlog.get_logger(), send=sent.append)
    report = table._reporter("app")
    with capture_logs() as lines:
        for is_up in (True, False, False, False, True, True):
            report("http://127.0.0.1:1", is_up, judge(200 if is_up else 400, Question(path="/up")))
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("endpoint down", "warning"),
        ("endpoint up", "info"),
    ]
    assert {line["upstream"] for line in lines} == {"app"}
    assert [line["answered"] for line in lines] == ["400 Bad Request", "200 OK"]
    assert "set host" in lines[0]["hint"]
    assert len(sent) == 6


def test_a_change_of_addresses_has_a_line() -> None:
    """What came and what left is said, and nothing when both are the same."""
    data: dict[str, Any] = {"upstreams": {"app": {"endpoints": ["http://a:1"]}}, "routes": {"all": {"upstream": "app"}}}
    settings = msgspec.convert(data, Settings, dec_hook=lambda kind, text: kind.parse(text))
    table = EndpointTable(settings, rng=random.Random(1), log=structlog.get_logger(), send=lambda _: None)
    one, two = EndpointSettings("http://192.0.2.1:1"), EndpointSettings("http://192.0.2.2:1")
    with capture_logs() as lines:
        table.change("app", (one,))
        table.change("app", (one, two))
        table.change("app", (two, one))
    assert [(line["event"], line["came"], line["left"], line["count"]) for line in lines] == [
        ("endpoints changed", ["http://192.0.2.1:1"], ["http://a:1"], 1),
        ("endpoints changed", ["http://192.0.2.2:1"], [], 2),
    ]

"""What the log says of active checks."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import structlog
from structlog.testing import capture_logs

from gateway.config.settings import Settings
from gateway.control.endpoints import EndpointTable


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
            report("http://127.0.0.1:1", is_up, is_up)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("endpoint down", "warning"),
        ("endpoint up", "info"),
    ]
    assert {line["upstream"] for line in lines} == {"app"}
    assert len(sent) == 6

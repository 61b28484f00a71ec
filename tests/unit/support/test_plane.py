"""What the support knows about the gateway's configuration."""

from __future__ import annotations

from tests.support.plane import make_settings


def test_small_settings_are_valid_and_point_at_the_origin() -> None:
    settings = make_settings(4711)
    assert settings.upstreams["origin"].endpoints == ("http://127.0.0.1:4711",)
    assert settings.gateway.timeouts.head == 20.0
    assert settings.gateway.limits.head == 16 * 1024


def test_text_is_laid_over_the_small_settings() -> None:
    settings = make_settings(4711, '[gateway.limits]\nbody = "1KiB"\n[routes.all.match]\npath = "/shop/*"\n')
    assert settings.gateway.limits.body == 1024
    assert settings.gateway.limits.headers == 50
    assert settings.routes["all"].match.path == "/shop/*"


def test_one_test_does_not_change_the_settings_of_the_next() -> None:
    make_settings(4711, {"gateway": {"limits": {"body": "1KiB"}}})
    assert make_settings(4712).gateway.limits.body == 1024 * 1024
    assert make_settings(4712).upstreams["origin"].endpoints == ("http://127.0.0.1:4712",)

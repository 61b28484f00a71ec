"""Signatures by the Standard Webhooks specification."""

from __future__ import annotations

import pytest

from gateway.actuators.signature import read_key, sign


def test_the_specification_s_own_example() -> None:
    """The published key, message and signature fit together."""
    key = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    fields = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert fields == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_plain_secret_is_its_own_key() -> None:
    """What has no prefix is taken as it is, without the line's end."""
    assert read_key("hunter2\n") == b"hunter2"


@pytest.mark.parametrize("text", ["", " \n", "whsec_", "whsec_not base64"])
def test_what_is_no_secret_is_refused(text: str) -> None:
    """An empty key would sign for anybody."""
    with pytest.raises(ValueError, match=r"empty|base64"):
        read_key(text)

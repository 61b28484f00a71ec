"""Signs what is sent, by the Standard Webhooks specification 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

_PREFIX: Final = "whsec_"


def read_key(text: str) -> bytes:
    """The key of a secret: base64 after ``whsec_``, else the text itself; ValueError when there is none."""
    text = text.strip()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else text.encode()
    except binascii.Error as error:
        message = "after whsec_ base64 is expected"
        raise ValueError(message) from error
    if not key:
        message = "the secret is empty"
        raise ValueError(message)
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three header fields; ``timestamp`` is in seconds since the epoch, and ``message_id`` has no full stop."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(key, signed, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }

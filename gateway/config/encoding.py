"""Settings as bytes, for handing them to another process."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.config.settings import Settings
from gateway.core.units import AutoSeconds, Rate, Seconds, Size


def _to_plain(value: Any) -> float | int | str:  # noqa: ANN401 - msgspec's hook
    if isinstance(value, Rate):
        return str(value)  # its count and period matter beside their quotient
    if isinstance(value, Seconds):
        return float(value)
    if isinstance(value, Size):
        return int(value)
    raise NotImplementedError(type(value))


def from_plain(cls: type, value: Any) -> Any:  # noqa: ANN401 - msgspec's hook
    """Make a Seconds, AutoSeconds, Size or Rate of a text with a unit, or of the number that :func:`encode` wrote."""
    if cls not in {Seconds, AutoSeconds, Size, Rate}:
        raise NotImplementedError(cls)
    return cls.parse(value) if isinstance(value, str) else cls(value)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_to_plain)
_DECODER = msgspec.msgpack.Decoder(Settings, dec_hook=from_plain)


def encode(settings: Settings) -> bytes:
    """Settings as MessagePack."""
    return _ENCODER.encode(settings)


def decode(data: bytes) -> Settings:
    """The settings that :func:`encode` wrote; msgspec.DecodeError for anything else."""
    return _DECODER.decode(data)

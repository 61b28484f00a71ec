"""What the operator may say about the scaler for KEDA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from pathlib import Path


class KedaTls(Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files by which KEDA knows us, and we KEDA."""

    certificate: Annotated[
        str, Meta(description="the chain, our own first", extra={"format": "file"}, examples=["keda.crt"])
    ]
    key: Annotated[str, Meta(description="its private key", extra={"format": "file"}, examples=["keda.key"])]
    client_ca: Annotated[
        str | None,
        Meta(
            description="who asks must have a certificate of these; none = anybody may ask",
            extra={"format": "file"},
            examples=["clients.crt"],
        ),
    ] = None


class KedaSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """KEDA's external scaler, gRPC; needs the extra ``keda``."""

    listen: Annotated[
        str,
        Meta(
            description="where KEDA asks; it tells signals and changes nothing",
            extra={"format": "listen"},
            examples=["0.0.0.0:9091"],
        ),
    ] = "127.0.0.1:9091"
    tls: Annotated[KedaTls | None, Meta(description="PEM files to serve TLS with; none = plain")] = None


def with_full_paths(settings: KedaSettings, folder: Path) -> KedaSettings:
    """The same settings with the names of files made absolute."""
    tls = settings.tls
    if tls is None:
        return settings
    files = {"certificate": tls.certificate, "key": tls.key, "client_ca": tls.client_ca}
    full = {key: str(folder / name) for key, name in files.items() if name is not None}
    return replace(settings, tls=replace(tls, **full))

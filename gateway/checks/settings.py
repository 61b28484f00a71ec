"""What the operator may say about how a server is asked whether it is well."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gateway.core.units import Seconds

HeaderName = Annotated[str, Meta(extra={"format": "field_to_change"})]
HeaderValue = Annotated[str, Meta(extra={"format": "header_value"})]
Status = Annotated[str, Meta(extra={"format": "status"})]


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked, and which answers pass; a connection alone with ``kind = "tcp"``."""

    kind: Annotated[
        Literal["http", "tcp"], Meta(description="http asks for a page, tcp for a connection and nothing more")
    ] = "http"
    path: Annotated[
        str | None,
        Meta(
            description="asked for by GET; none = /, and any answer below 500 passes",
            extra={"format": "path"},
            examples=["/healthz"],
        ),
    ] = None
    host: Annotated[
        str | None,
        Meta(
            description="the Host field; none = the endpoint's name or address",
            extra={"format": "host"},
            examples=["shop.example.com"],
        ),
    ] = None
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Meta(description="more fields of the request", examples=[{"x-forwarded-proto": "https"}]),
    ] = field(default_factory=dict)
    statuses: Annotated[
        tuple[Status, ...],
        Meta(
            description='answers that pass, such as "204" or "2xx"; none = 2xx and 3xx, without a path all below 500',
            examples=[["2xx", "401"]],
        ),
    ] = ()


class Ready(Question, frozen=True):
    """A process is ready when it passes ``passes`` times in a row, within ``timeout``."""

    timeout: Annotated[Seconds, Meta(description="a process that is not ready by then is replaced")] = Seconds(30)
    passes: Annotated[int, Meta(ge=1, le=100, description="answers in a row that make it ready")] = 1


class Health(Question, frozen=True):
    """Active checks, made once for the whole gateway.

    A check passes when the answer, whole where a path was written, comes within ``timeout`` with a status that passes.
    While a check disagrees with what is believed, or a breaker is open, the next one comes after ``fast_interval``, and
    ever later up to ``interval`` when that lasts.
    """

    interval: Annotated[Seconds, Meta(description="between two checks of one endpoint")] = Seconds(2)
    fast_interval: Annotated[Seconds, Meta(description="the same while something seems to change")] = Seconds(0.5)
    timeout: Annotated[Seconds, Meta(description="for the whole answer")] = Seconds(1)
    rise: Annotated[int, Meta(ge=1, le=100, description="checks passed in a row that make it up")] = 2
    fall: Annotated[int, Meta(ge=1, le=100, description="checks failed in a row that make it down")] = 3

"""What the operator may say about which request a route takes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

Host = Annotated[str, Meta(extra={"format": "host_pattern"})]
Method = Annotated[str, Meta(extra={"format": "method"})]
HeaderName = Annotated[str, Meta(extra={"format": "header_name"})]
HeaderValue = Annotated[str, Meta(extra={"format": "header_value"})]


class Match(Struct, frozen=True, forbid_unknown_fields=True):
    """A request matches when all that is said here holds; what is not said matches everything.

    ``hosts`` are names or wildcards (``*.example.com``), ``path`` is exact, a prefix (``/shop/*``) or has
    parameters (``/users/{id}``), ``headers`` are exact values.
    """

    hosts: Annotated[
        tuple[Host, ...],
        Meta(description="names or wildcards; none = any host", examples=[["shop.example.com", "*.example.org"]]),
    ] = ()
    path: Annotated[
        str,
        Meta(
            description="exact, a prefix (/shop/*) or with parameters (/users/{id})", extra={"format": "path_pattern"}
        ),
    ] = "/*"
    methods: Annotated[
        tuple[Method, ...],
        Meta(description="in capitals; GET includes HEAD; none = every method", examples=[["GET", "POST"]]),
    ] = ()
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Meta(description="header fields and the values that they must have", examples=[{"x-version": "2"}]),
    ] = field(default_factory=dict)

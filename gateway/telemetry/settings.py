"""What the operator may say about logs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """``format`` of every line on standard error; ``access`` says which requests get a line."""

    format: Literal["json", "console"] = "json"
    access: Literal["all", "errors", "off"] = "errors"

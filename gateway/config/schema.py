"""The settings as JSON Schema, for editors that complete and check TOML while it is written."""

from __future__ import annotations

from inspect import cleandoc
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import NODEFAULT, inspect
from msgspec.structs import asdict

from gateway.config import patterns
from gateway.config.planned import planned_under
from gateway.config.settings import Settings
from gateway.core.units import Rate, Seconds, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = "^[A-Za-z0-9_.-]{1,64}$"
_TEXT_WITH_VARIABLE: Final = {"type": "string", "pattern": patterns.VARIABLE}
_NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})
_NOT_YET: Final = "Read but not acted on by this version."


def schema() -> dict[str, Any]:
    """The whole configuration file as a JSON Schema, draft 2020-12."""
    definitions: dict[str, Any] = {}
    root = _of(inspect.type_info(Settings), (), definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _of(  # noqa: PLR0911 - one line per kind of value
    kind: inspect.Type, path: tuple[str, ...], definitions: dict[str, Any], extra: Mapping[str, Any] = _NO_EXTRA
) -> dict[str, Any]:
    match kind:
        case inspect.Metadata():
            more = {**extra, **(kind.extra or {})}
            return {**_of(kind.type, path, definitions, more), **(kind.extra_json_schema or {})}
        case inspect.UnionType():
            members = [
                _of(one, path, definitions, extra) for one in kind.types if not isinstance(one, inspect.NoneType)
            ]
            return members[0] if len(members) == 1 else {"anyOf": members}
        case inspect.StructType():
            definitions[kind.cls.__name__] = _struct(kind, path, definitions)
            return {"$ref": f"#/$defs/{kind.cls.__name__}"}
        case inspect.DictType():
            least = {"minProperties": kind.min_length} if kind.min_length else {}
            key = _of(kind.key_type, path, definitions)
            names = (
                {"propertyNames": {"pattern": _NAME}}
                if len(path) == 1
                else {"propertyNames": key}
                if len(key) > 1
                else {}
            )
            entries = _of(kind.value_type, (*path, "*"), definitions)
            return {"type": "object", "additionalProperties": entries, **names, **least}
        case inspect.VarTupleType():
            least = {"minItems": kind.min_length} if kind.min_length else {}
            return {"type": "array", "items": _of(kind.item_type, path, definitions), **least}
        case inspect.CustomType():
            return {"type": "string", "pattern": patterns.of_quantity(kind.cls, may_be_zero="zero" in extra)}
        case inspect.BoolType():
            return {"anyOf": [{"type": "boolean"}, _TEXT_WITH_VARIABLE]}
        case inspect.LiteralType():
            return {"anyOf": [{"enum": list(kind.values)}, _TEXT_WITH_VARIABLE]}
        case inspect.IntType() | inspect.FloatType():
            return {"anyOf": [_number(kind), _TEXT_WITH_VARIABLE]}
        case _:
            return {"type": "string", **_format(extra)}


def _format(extra: Mapping[str, Any]) -> dict[str, str]:
    """The format of a text, by our own name, and the pattern that says it where one does."""
    if "format" not in extra:
        return {}
    pattern = patterns.of_format(extra["format"])
    return {"format": extra["format"], **({} if pattern is None else {"pattern": pattern})}


def _struct(kind: inspect.StructType, path: tuple[str, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in kind.fields:
        properties[field.encode_name] = _of(field.type, (*path, field.encode_name), definitions)
        if field.default is not NODEFAULT and field.default is not None:
            properties[field.encode_name]["default"] = plain(field.default)
    for name in sorted(planned_under(path)):
        properties[name] = {"description": _NOT_YET}
    required = [field.encode_name for field in kind.fields if field.required]
    return {
        "type": "object",
        "description": cleandoc(kind.cls.__doc__ or "").replace("``", ""),
        "properties": properties,
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _number(kind: inspect.IntType | inspect.FloatType) -> dict[str, Any]:
    bounds = {"minimum": kind.ge, "exclusiveMinimum": kind.gt, "maximum": kind.le}
    name = "integer" if isinstance(kind, inspect.IntType) else "number"
    return {"type": name, **{word: bound for word, bound in bounds.items() if bound is not None}}


def plain(value: Any) -> Any:  # noqa: ANN401 - settings are any JSON value
    """A setting as JSON and TOML write it."""
    if isinstance(value, Seconds | Size | Rate):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if hasattr(value, "__struct_fields__"):
        return {name: plain(item) for name, item in asdict(value).items() if item is not None}
    return value

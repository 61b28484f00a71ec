"""Every key with its default and one line of explanation, as a configuration file that can be used.

``python -m gateway.config.reference > config/reference.toml`` keeps the file in the repository true.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from msgspec import NODEFAULT, inspect

from gateway.config.schema import plain
from gateway.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD: Final = """\
# Every key with its default. Made by: python -m gateway.config.reference
#
# What is commented out has no default; the value shown is an example. Durations need a unit
# (ms, s, m, h, d), sizes too (B, kB, MB, GB, KiB, MiB, GiB). Unknown keys are errors. "${NAME}" and "${NAME:-default}"
# in a value are environment variables. A default that lies beyond a bound written beside it becomes that bound.
# Only [upstreams] and [routes] must be there; the names in them are yours."""

# What a reference must have beside the defaults so that it can be used.
_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "classes.batch": {"band": 2, "max_queue_share": 0.3},
    "upstreams.app": {"endpoints": ["http://127.0.0.1:9001"], "pool": None},
    "upstreams.reports": {"pool": {}},
    "upstreams.reports.pool": {"command": ["python", "-m", "myapp", "--port", "{port}"]},
    "routes.all": {"upstream": "app"},
    "routes.reports": {"upstream": "reports", "match": {}},
    "routes.reports.match": {"path": "/reports/*"},
}
_SECOND: Final = frozenset({"upstreams.reports", "routes.reports", "routes.reports.match"})


def reference() -> str:
    """The text of config/reference.toml."""
    root = inspect.type_info(Settings)
    assert isinstance(root, inspect.StructType)  # noqa: S101 - Settings is a Struct
    fields = {field.encode_name: field for field in root.fields}
    blocks = [_HEAD]
    for name in ("gateway", "admin", "log"):
        blocks += _table(name, fields[name].type)
    blocks += _table("keda", fields["keda"].type, _remark(fields["keda"].type), is_comment=True)
    for name, examples in (
        ("classes", ("default", "batch")),
        ("upstreams", ("app", "reports")),
        ("routes", ("all", "reports")),
    ):
        kind = _bare(fields[name].type)
        assert isinstance(kind, inspect.DictType)  # noqa: S101 - both are tables of tables
        for example in examples:
            blocks += _table(f"{name}.{example}", kind.value_type)
    return "\n\n".join(blocks) + "\n"


def _table(path: str, kind: inspect.Type, remark: str = "", *, is_comment: bool = False) -> Iterator[str]:
    """A table's own keys as one block, then its tables; keys whose example is None are left out."""
    struct = _bare(kind)
    assert isinstance(struct, inspect.StructType)  # noqa: S101 - only called for tables
    example = _EXAMPLES.get(path, {})
    lines = [f"# {remark or _sentence(struct.cls)}", f"[{path}]"]
    tables = []
    for field in struct.fields:
        name = field.encode_name
        if name in example and example[name] is None:
            continue
        if path in _SECOND and name not in example:
            continue  # said once, in the first of its kind
        if isinstance(_bare(field.type), inspect.StructType):
            tables.append(field)
        else:
            lines.append(_key(field, example))
    if len(lines) > 2 or not tables:  # noqa: PLR2004 - more than the remark and the table's name
        yield "\n".join("# " + line.removeprefix("# ") if is_comment else line for line in lines)
    for field in tables:
        is_off = is_comment or (field.default is None and field.encode_name not in example)
        inner = f"{path}.{field.encode_name}"
        yield from _table(inner, field.type, _remark(field.type), is_comment=is_off)


def _key(field: inspect.Field, example: Mapping[str, Any]) -> str:
    name = field.encode_name
    remark = f"  # {_remark(field.type)}"
    if name in example:
        return f"{name} = {toml(example[name])}{remark}"
    if field.default not in {NODEFAULT, None, ()}:
        return f"{name} = {toml(plain(field.default))}{remark}"
    return f"# {name} = {toml(_example(field.type))}{remark}"


def toml(value: Any) -> str:  # noqa: ANN401 - any TOML value
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(item)}" for name, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _bare(kind: inspect.Type) -> inspect.Type:
    """A type without its remarks and without None."""
    while True:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
        else:
            return kind


def _said(kind: inspect.Type) -> dict[str, Any]:
    return (kind.extra_json_schema or {}) if isinstance(kind, inspect.Metadata) else {}


def _remark(kind: inspect.Type) -> str:
    return str(_said(kind)["description"])


def _example(kind: inspect.Type) -> Any:  # noqa: ANN401 - any TOML value
    return _said(kind)["examples"][0]


def _sentence(cls: type) -> str:
    return (cls.__doc__ or "").partition("\n")[0].replace("``", "").rstrip(".")


if __name__ == "__main__":
    sys.stdout.write(reference())

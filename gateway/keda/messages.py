"""The messages of externalscaler.proto as our own structs, to and from bytes.

They are described to protobuf here instead of by generated code, which would have to be made anew for new versions of
the library, and fits no linter. A test compiles the .proto file and compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE: Final = "externalscaler"
SERVICE: Final = f"{PACKAGE}.ExternalScaler"

# name, number, type; capitals are other messages, * stands for "repeated"
_MESSAGES: Final = {
    "ScaledObjectRef": (("name", 1, "string"), ("namespace", 2, "string"), ("scalerMetadata", 3, "map")),
    "IsActiveResponse": (("result", 1, "bool"),),
    "GetMetricSpecResponse": (("metricSpecs", 1, "*MetricSpec"),),
    "MetricSpec": (("metricName", 1, "string"), ("targetSize", 2, "int64"), ("targetSizeFloat", 3, "double")),
    "GetMetricsRequest": (("scaledObjectRef", 1, "ScaledObjectRef"), ("metricName", 2, "string")),
    "GetMetricsResponse": (("metricValues", 1, "*MetricValue"),),
    "MetricValue": (("metricName", 1, "string"), ("metricValue", 2, "int64"), ("metricValueFloat", 3, "double")),
}
_METHODS: Final = (
    ("IsActive", "ScaledObjectRef", "IsActiveResponse", False),
    ("StreamIsActive", "ScaledObjectRef", "IsActiveResponse", True),
    ("GetMetricSpec", "ScaledObjectRef", "GetMetricSpecResponse", False),
    ("GetMetrics", "GetMetricsRequest", "GetMetricsResponse", False),
    ("StreamMetricSpec", "ScaledObjectRef", "GetMetricSpecResponse", True),
)
_TYPES: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}


class Reference(Struct, frozen=True):
    """Whose question it is (ScaledObjectRef); ``metadata`` is what the trigger of a ScaledObject says."""

    name: str = ""
    namespace: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


class Question(Struct, frozen=True):
    """GetMetricsRequest; an empty ``metric`` means all."""

    reference: Reference
    metric: str = ""


class Amount(Struct, frozen=True):
    """How much of a metric there is, or one replica shall have; ``whole`` is for clients that know no floats."""

    metric: str
    exact: float
    whole: int


def describe() -> FileDescriptorProto:
    """The contract as protobuf describes files."""
    file = FileDescriptorProto(name="externalscaler.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for each, number, kind in fields:
            _add(message, each, number, kind)
    service = file.service.add(name="ExternalScaler")
    for name, takes, gives, is_stream in _METHODS:
        method = service.method.add(name=name, input_type=f".{PACKAGE}.{takes}", output_type=f".{PACKAGE}.{gives}")
        if is_stream:
            method.server_streaming = True
    return file


def _add(message: DescriptorProto, name: str, number: int, kind: str) -> None:
    label = FieldDescriptorProto.LABEL_OPTIONAL
    if kind == "map":
        entry = message.nested_type.add(name=f"{name[:1].upper()}{name[1:]}Entry")
        entry.options.map_entry = True
        _add(entry, "key", 1, "string")
        _add(entry, "value", 2, "string")
        kind = f"*{message.name}.{entry.name}"
    if kind.startswith("*"):
        label, kind = FieldDescriptorProto.LABEL_REPEATED, kind[1:]
    added = message.field.add(name=name, number=number, label=label, json_name=name)
    if kind in _TYPES:
        added.type = _TYPES[kind]
    else:
        added.type = FieldDescriptorProto.TYPE_MESSAGE
        added.type_name = f".{PACKAGE}.{kind}"


_POOL: Final = DescriptorPool()  # our own: the process may hold another copy of the contract
_POOL.Add(describe())


def _class(name: str) -> Any:  # noqa: ANN401 - made at run time
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


_ScaledObjectRef: Final = _class("ScaledObjectRef")
_GetMetricsRequest: Final = _class("GetMetricsRequest")
_IsActiveResponse: Final = _class("IsActiveResponse")
_GetMetricSpecResponse: Final = _class("GetMetricSpecResponse")
_GetMetricsResponse: Final = _class("GetMetricsResponse")


def read_reference(data: bytes) -> Reference:
    """A ScaledObjectRef; protobuf's DecodeError when it is none."""
    return _reference(_ScaledObjectRef.FromString(data))


def read_question(data: bytes) -> Question:
    """A GetMetricsRequest; protobuf's DecodeError when it is none."""
    found = _GetMetricsRequest.FromString(data)
    return Question(_reference(found.scaledObjectRef), found.metricName)


def _reference(found: Any) -> Reference:  # noqa: ANN401 - made at run time
    return Reference(found.name, found.namespace, dict(found.scalerMetadata))


def write_active(is_active: bool) -> bytes:  # noqa: FBT001 - it is the whole message
    """An IsActiveResponse."""
    return bytes(_IsActiveResponse(result=is_active).SerializeToString())


def write_specs(amounts: Sequence[Amount]) -> bytes:
    """A GetMetricSpecResponse."""
    answer = _GetMetricSpecResponse()
    for each in amounts:
        answer.metricSpecs.add(metricName=each.metric, targetSize=each.whole, targetSizeFloat=each.exact)
    return bytes(answer.SerializeToString())


def write_values(amounts: Sequence[Amount]) -> bytes:
    """A GetMetricsResponse."""
    answer = _GetMetricsResponse()
    for each in amounts:
        answer.metricValues.add(metricName=each.metric, metricValue=each.whole, metricValueFloat=each.exact)
    return bytes(answer.SerializeToString())

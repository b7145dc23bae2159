"""What every record shares: immutable, typed, strict when read, one JSON line when written.

Law of the file: no record is defined here, and nothing here opens a file.
"""

import types
import typing
from typing import Any, TypeVar

import msgspec

from builder.errors import ConfigError, nearest

T = TypeVar("T")


@typing.dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immutable value. Reading one with an unknown key, a missing key or a wrong type is an error."""


def encode(record: object) -> bytes:
    """One record as compact JSON in UTF-8, keys in the order of the fields, no newline inside or at the end."""
    return msgspec.json.encode(record)


def convert(value: Any, kind: type[T], where: str) -> T:
    """Reads plain data (from TOML or JSON) as `kind`.

    Args:
        value: dicts, lists, strings, numbers and booleans.
        kind: the record type to make.
        where: the file's name, for the message.

    Raises:
        ConfigError: names the file, the full key, what stands there and the nearest valid key or the wanted type.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise ConfigError(f"{where}: {_explain(value, kind, '')}") from None


def _explain(value: Any, kind: Any, key: str) -> str | None:
    """The first thing wrong in `value`, with its whole key; None if nothing is.

    msgspec's own message names a position (`$.models[...]`) but neither the key of a table nor the nearest name.
    """
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fault = str(error).split(" - at ")[0]
    else:
        return None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        return _explain_record(value, kind, key, fault)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    parts: list[tuple[str, Any, Any]] = []
    if origin is dict and isinstance(value, dict):
        parts = [(_join(key, str(name)), part, inner[1]) for name, part in value.items()]
    elif origin is tuple and inner[-1] is Ellipsis and isinstance(value, list):
        parts = [(f"{key}[{position}]", part, inner[0]) for position, part in enumerate(value)]
    elif origin in {typing.Union, types.UnionType} and isinstance(value, dict | list):
        parts = [(key, value, one) for one in inner if one is not types.NoneType]
    for path, part, wanted in parts:
        if reason := _explain(part, wanted, path):
            return reason
    return f"key {key!r} is {value!r}: {fault}" if key else fault


def _explain_record(value: dict[str, Any], kind: type[msgspec.Struct], key: str, fault: str) -> str:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = msgspec.structs.fields(kind)
    for name, part in value.items():
        if name not in hints:
            return f"unknown key {_join(key, name)!r}: {nearest(name, (field.name for field in fields))}"
        if reason := _explain(part, hints[name], _join(key, name)):
            return reason
    for field in fields:
        if field.required and field.name not in value:
            return f"missing key {_join(key, field.name)!r}"
    return f"{key}: {fault}" if key else fault


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name

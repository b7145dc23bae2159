"""What every record shares: immutable, typed, strict when read, one JSON line when written.

Law of the file: no record is defined here, and nothing here opens a file.
"""

import re
import types
import typing
from collections.abc import Callable
from functools import partial
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


Place = Callable[[str], tuple[str, str]]
"""From a whole key to the file it stands in, and its key in there."""

SHOWN = 60
"""Characters of a value that a message shows."""


_LONG = re.compile(rf"(\S{{{SHOWN}}})\S{{{SHOWN},}}")


def brief(value: object) -> str:
    """A value as a message shows it: as Python writes it, cut short."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def convert(value: Any, kind: type[T], where: str | Place) -> T:
    """Reads plain data (from TOML or JSON) as `kind`.

    Args:
        value: dicts, lists, strings, numbers and booleans.
        kind: the record type to make.
        where: the file's name, for the message; or what tells it of a key, where several files are one value.

    Raises:
        ConfigError: names the file, the full key, what stands there, cut short, and the nearest valid key, or the range or the
            choices that a value has.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fault = _fault(value, kind, "") or _Fault("", partial(_as_it_is, rule=_of(error)))
    file, key = where(fault.key) if callable(where) else (where, fault.key)
    raise ConfigError(f"{file}: {fault.said(key)}")


def needed(kind: Any) -> str:
    """What a value of a type may be, in words: the range of a number, the choices of a name."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _bounded(inner[0], [one for one in inner[1:] if isinstance(one, msgspec.Meta)])
    if origin is typing.Literal:
        return f"{'one of ' if len(inner) > 1 else ''}{', '.join(map(repr, inner))}"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(dict.fromkeys(needed(one) for one in inner if one is not types.NoneType))
    plain = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        tuple: "a list",
        list: "a list",
    }
    return plain.get(origin or kind, "a table")


def _bounded(kind: Any, bounds: list[msgspec.Meta]) -> str:
    what = needed(kind)
    for one in bounds:
        if one.description:
            return one.description
        low = [f"from {one.ge}"] * (one.ge is not None) + [f"above {one.gt}"] * (one.gt is not None)
        high = [f"to {one.le}"] * (one.le is not None) + [f"below {one.lt}"] * (one.lt is not None)
        if low and high:
            what += (
                f" {low[0]} {high[0]}"
                if low[0][0] == "f"
                else f" {low[0]} and {high[0].replace('to', 'at most')}"
            )
        elif low or high:
            what += f" {(low + high)[0].replace('from', 'of at least').replace('to ', 'of at most ')}"
        if one.min_length:
            what += f" of at least {one.min_length}"
    return what


class _Fault(typing.NamedTuple):
    """What is wrong, and where."""

    key: str
    said: Callable[[str], str]
    """Says it, given the key as its file has it."""


def _of(error: Exception) -> str:
    """What a rule of a record says, without the position that msgspec adds."""
    said = _LONG.sub(r"\1…", str(error).rsplit(" - at `$", 1)[0])
    return said if len(said) <= 10 * SHOWN else f"{said[: 10 * SHOWN]}…"


def _fault(value: Any, kind: Any, key: str) -> _Fault | None:
    """The first thing wrong in `value`; None if nothing is.

    msgspec's own message names a position (`$.models[...]`) but neither the key of a table nor the nearest name.
    """
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        rule = _of(error)
    else:
        return None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        return _fault_of_record(value, kind, key, rule)
    plain = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    if typing.get_origin(plain) is dict and isinstance(value, dict):
        wanted = typing.get_args(plain)[0]
        for name in value:
            if _fault(name, wanted, ""):
                return _Fault(_join(key, name), partial(_misnamed, name=name, wanted=wanted))
    for path, part, wanted in _parts(value, plain, key):
        if fault := _fault(part, wanted, path):
            return fault
    return _Fault(key, partial(_unfit, value=value, wanted=kind))


def _parts(value: Any, kind: Any, key: str) -> list[tuple[str, Any, Any]]:
    """What a table, a list or a choice of kinds is made of: the key, the value and the type of each."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, dict):
        return [(_join(key, name), part, inner[1]) for name, part in value.items()]
    if origin is tuple and isinstance(value, list):
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return [
            (f"{key}[{position}]", *pair) for position, pair in enumerate(zip(value, kinds, strict=False))
        ]
    if origin in {typing.Union, types.UnionType} and isinstance(value, dict | list):
        return [(key, value, one) for one in inner if one is not types.NoneType and _is_like(value, one)]
    return []


def _is_like(value: Any, kind: Any) -> bool:
    """Whether a table or a list is told apart by being one from what else stands there."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    made = typing.get_origin(kind) or kind
    if isinstance(value, list):
        return made in {tuple, list}
    return made is dict or (isinstance(made, type) and issubclass(made, msgspec.Struct))


def _unfit(key: str, value: Any, wanted: Any) -> str:
    stands = f"key {key!r} is {brief(value)}" if key else brief(value)
    return f"{stands}: {needed(wanted)} is needed"


def _misnamed(key: str, name: str, wanted: Any) -> str:
    return f"key {key!r} has the name {brief(name)}: {needed(wanted)} is needed"


def _unknown(key: str, hint: str) -> str:
    return f"unknown key {key!r}: {hint}"


def _as_it_is(key: str, rule: str) -> str:
    return f"{key}: {rule}" if key else rule


def _fault_of_record(value: dict[str, Any], kind: type[msgspec.Struct], key: str, rule: str) -> _Fault:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = msgspec.structs.fields(kind)
    for name, part in value.items():
        if name not in hints:
            hint = nearest(name, (field.name for field in fields))
            return _Fault(_join(key, name), partial(_unknown, hint=hint))
        if fault := _fault(part, hints[name], _join(key, name)):
            return fault
    for field in fields:
        if field.required and field.name not in value:
            return _Fault(_join(key, field.name), "missing key {!r}".format)
    return _Fault(key, partial(_as_it_is, rule=rule))


def _join(key: str, name: object) -> str:
    shown = str(name) if len(str(name)) <= SHOWN else f"{str(name)[: SHOWN - 1]}…"
    return f"{key}.{shown}" if key else shown

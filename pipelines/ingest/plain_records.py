"""Plain records: frozen dataclasses out of the JSON that they were written as, by their annotations.

Pydantic would do, but its import and its schemas take half the time of an append of one day.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")
_hints = cache(get_type_hints)


def record_of(kind: type[Record], text: str | bytes) -> Record:
    """A record of JSON; names that it does not have are passed over.

    Args:
        kind: a dataclass of plain values, moments, paths, enumerations, tuples and mappings of these, or such classes.

    Raises:
        ValueError: the text is no JSON, or a value is missing or not what the annotation says; the message names it.
    """
    found: Record = _value(kind, json.loads(text), kind.__name__)
    return found


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        if value is None and NoneType in parts:
            return None
        return _value(next(part for part in parts if part is not NoneType), value, where)
    if origin is tuple:
        _check(isinstance(value, list), kind, value, where)
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        _check(len(kinds) == len(value), kind, value, where)
        return tuple(_value(*one, f"{where}[{at}]") for at, one in enumerate(zip(kinds, value, strict=True)))
    if origin is Mapping:
        _check(isinstance(value, dict), kind, value, where)
        keys = int if parts[0] is int else str
        return {keys(key): _value(parts[1], one, f"{where}.{key}") for key, one in value.items()}
    return _record(kind, value, where) if is_dataclass(kind) else _plain(kind, value, where)


def _record(kind: Any, value: Any, where: str) -> Any:
    _check(isinstance(value, dict), kind, value, where)
    hints = _hints(kind)
    known = [one.name for one in fields(kind) if one.name in value]
    try:
        return kind(**{name: _value(hints[name], value[name], f"{where}.{name}") for name in known})
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind in (int, str, bool):
        _check(type(value) is kind, kind, value, where)
        return value
    if kind is float:
        _check(type(value) in (int, float), kind, value, where)
        return float(value)
    _check(isinstance(value, str), kind, value, where)
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is Path or issubclass(kind, Enum):
        return kind(value)
    raise TypeError(f"{where} is a {kind}, which no record holds.")


def _check(fits: bool, kind: Any, value: Any, where: str) -> None:
    if not fits:
        raise ValueError(f"{where} is {value!r:.100}, expected {getattr(kind, '__name__', kind)}")

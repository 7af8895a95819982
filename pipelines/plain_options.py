"""Plain options: values that Typer takes as they are, without what it reads other values by.

Typer reads every value by pydantic, whose import takes a fifth of the time that a verb needs to start. Texts, plain
numbers and what is absent need none of it; any other value, and what is wrong with it, is Typer's.
"""

import re
from enum import Enum
from typing import Any

from typer.core import TyperCommand, TyperGroup

_NUMBERS = {int: re.compile(r"-?[0-9]{1,15}"), float: re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")}
_NONE_OF_THESE = object()


class _WithPlainOptions:
    """A command whose plain values Typer does not look at; a version of Typer that works otherwise looks at all."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, that of --help included."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in found:
            if getattr(param, "_runtime_param", 0) is None:
                param._runtime_param = _Plain()
        return found


class PlainCommand(_WithPlainOptions, TyperCommand):
    """A verb with plain options."""


class PlainGroup(_WithPlainOptions, TyperGroup):
    """The application, likewise."""


class _Plain:
    """In the place of what Typer makes of a parameter when it is first needed."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        is_several = param.multiple or param.nargs == -1
        if value is None:
            return () if is_several else None
        described = param.type_descriptor
        of_one = described.parameter_info
        if of_one.parser is None and of_one.min is None and of_one.max is None:
            found = _plain(value, described.annotation)
            if found is not _NONE_OF_THESE:
                return found
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _plain(value: Any, kind: Any) -> Any:
    """The value as Typer gives it; `_NONE_OF_THESE` where that is for Typer to say."""
    if kind == list[str] and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return list(value)
    if not isinstance(kind, type):
        return _NONE_OF_THESE
    if isinstance(value, kind) and (kind in (str, int, float, bool) or issubclass(kind, Enum)):
        return value
    written = _NUMBERS.get(kind)
    return (
        kind(value) if written is not None and isinstance(value, str) and written.fullmatch(value) else _NONE_OF_THESE
    )

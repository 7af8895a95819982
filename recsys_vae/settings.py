"""Settings by name: frozen dataclasses, made or changed as a command line or a file names their fields."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from recsys_vae.errors import ConfigError, DataError, UnknownNameError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
Default = TypeVar("Default")


def setting(default: Default, meaning: str, *, about: str = "", option: str | None = None) -> Default:
    """A field of a dataclass of settings, with what the command line says of it.

    Args:
        meaning: what it sets and in what unit, as `--help` says it.
        about: what it has an effect on, where that is not everything; the dataclass says which words it uses.
        option: the option's name where that is not the field's; empty where only `--set` takes it.
    """
    return field(default=default, metadata={"meaning": meaning, "about": about, "option": option})


def settings_about(config: "type[DataclassInstance]", what: str) -> frozenset[str]:
    """Names of the settings that say they are about something."""
    return frozenset(one.name for one in fields(config) if one.metadata["about"] == what)


def options(config: "type[DataclassInstance]") -> dict[str, str]:
    """Option, `--batch-size`, by name of each setting that has one."""
    named = {one.name: one.metadata["option"] for one in fields(config)}
    return {
        name: f"--{(name if option is None else option).replace('_', '-')}"
        for name, option in named.items()
        if option != ""
    }


def with_plain_settings(config: Config, settings: Mapping[str, Any], *, of: str) -> Config:
    """A copy of a frozen configuration with some settings changed, each converted to the type of the value it had.

    Args:
        of: whose settings they are, for messages.

    Raises:
        UnknownNameError: it has no such setting.
        ConfigError: a value of the wrong type or out of its range.
    """
    present = {field.name: getattr(config, field.name) for field in fields(config)}
    if unknown := settings.keys() - present.keys():
        raise UnknownNameError(f"setting of {of}", min(unknown), present)
    return replace(
        config, **{name: converted(present[name], value, f"{name} of {of}") for name, value in settings.items()}
    )


def from_plain(kind: type[Config], content: Any, what: str, *, passing_over: bool = False) -> Config:
    """A dataclass from plain values by name, as a file of JSON keeps them.

    Args:
        what: the file tells of, for messages.
        passing_over: leave out names that the dataclass does not have: for what only informs. Where it decides what
            is answered, a name that is not known may not be left out.

    Raises:
        UnknownNameError: a name that it does not have, as a newer version may write it.
        DataError: these are no values by name, or some are missing.
    """
    if not isinstance(content, Mapping):
        raise DataError(f"Expected {what} as values by name, got {content!r}.")
    known = {field.name: field for field in fields(kind)}
    if not passing_over and (unknown := content.keys() - known.keys()):
        raise UnknownNameError(f"part of {what}", min(unknown), known)
    needed = {name for name, field in known.items() if field.default is field.default_factory is MISSING}
    if missing := needed - content.keys():
        raise DataError(f"There is no {min(missing)!r} in {what}.")
    return kind(**{name: value for name, value in content.items() if name in known})


def converted(present: Any, value: Any, what: str) -> Any:
    """A value of the type of the present one, where it says the same as that type: nothing is rounded or guessed.

    A whole number may be 600, 600.0 or the text "600"; a number is finite; a flag is true or false, as such or as a
    text of any case; a text is a text; several values are a list of whole numbers.

    Raises:
        ConfigError: it cannot be read as one; `what` names it in the message.
    """
    kind = type(present)
    try:
        if kind not in READERS:
            raise TypeError
        return READERS[kind](value)
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        expected = EXPECTED.get(kind, "not to be set")
        raise ConfigError(f"Setting {what} is {expected}, got {value!r}.") from error


def _whole(value: Any) -> int:
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or int(value) != value:
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError
    return number


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[value.lower() if isinstance(value, str) else value]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _several(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError
    return tuple(map(_whole, value))


READERS: dict[type, Callable[[Any], Any]] = {int: _whole, float: _number, bool: _flag, str: _text, tuple: _several}
EXPECTED = {
    int: "a whole number (int)",
    float: "a finite number (float)",
    bool: "true or false (bool)",
    str: "a text (str)",
    tuple: "a list of whole numbers",
}

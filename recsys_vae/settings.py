"""Settings by name: frozen configurations, changed as a command line or a manifest names their fields."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from recsys_vae.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


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


def converted(present: Any, value: Any, what: str) -> Any:
    """A value of the type of the present one.

    Raises:
        ConfigError: it cannot be read as one; `what` names it in the message.
    """
    try:
        if isinstance(present, bool) and isinstance(value, str):
            return {"true": True, "false": False}[value.lower()]
        return type(present)(value)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"Setting {what} is a {type(present).__name__}, got {value!r}.") from error

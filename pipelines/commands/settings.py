"""Options that say how a model is set and trained, shared by the verbs that train."""

from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys_vae.errors import ConfigError
from recsys_vae.settings import options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Verb = Callable[..., None]

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the model or of its training, NAME=VALUE.", show_default=False),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="File of model and settings, as `recsys tune` writes; --set overrides it."),
]


def with_options_of(
    config: "type[DataclassInstance]", *only: str, show_defaults: bool = True
) -> Callable[[Verb], Verb]:
    """Give a verb an option for each setting of a configuration, in place of its parameter `training`.

    The verb gets, as `training`, the values by name that were given on the command line.

    Args:
        config: whose fields are made by `recsys_vae.settings.setting`.
        only: names of the settings; all that have an option where none is named.
        show_defaults: whether what is not given is as the configuration has it.
    """
    named = options(config)
    added = [_parameter(one, named[one.name], show_defaults) for one in fields(config) if one.name in (only or named)]

    def decorate(verb: Verb) -> Verb:
        @wraps(verb)
        def called(**values: Any) -> None:
            training = {one.name: values.pop(one.name) for one in added}
            verb(**values, training={name: value for name, value in training.items() if value is not None})

        own = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in signature(verb).parameters.values()]
        place = [one.name for one in own].index("training")
        parameters = [*own[:place], *added, *own[place + 1 :]]
        called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorate


def _parameter(setting: Field[Any], option: str, show_default: bool) -> Parameter:
    """The parameter of a verb that Typer makes the option of a setting from; None where it is not given."""
    told = typer.Option(option, help=setting.metadata["meaning"], show_default=show_default and str(setting.default))
    kind: Any = setting.type
    return Parameter(setting.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, told])


def chosen(sets: list[str] | None, **options: Any) -> dict[str, Any]:
    """Settings by name from `--set` and from the options that were given.

    Raises:
        ConfigError: a `--set` without `=`, or a setting given both ways.
    """
    settings: dict[str, Any] = dict(_setting(text) for text in sets or ())
    given = {name: value for name, value in options.items() if value is not None}
    if twice := sorted(settings.keys() & given.keys()):
        raise ConfigError(f"{', '.join(twice)} is given twice, by --set and by its own option.")
    return settings | given


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes NAME=VALUE, got {text!r}.")
    return name, value

"""Flags: every setting is also an option of `recsys serve`, made from the one class of settings.

That class stands on pydantic, which `recsys --help` does without: the options are made when the command is called.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

POSITIONAL = "bundle"
REPEATED = ("variant",)
"""Settings whose flag is given once a value."""


def mount(app: typer.Typer, name: str, command: Callable[..., None]) -> None:
    """Add a verb that takes settings."""

    class Called(TyperCommand):
        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            alone = typer.Typer(add_completion=False, rich_markup_mode=self.rich_markup_mode)
            alone.command(name)(takes_settings(command))
            return typer.main.get_command(alone).make_context(info_name, args, parent, **extra)

    app.command(name, cls=Called, help=command.__doc__)(lambda: None)


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command with one option a setting; it gets those that were chosen, the others as None."""
    from service.settings import Settings

    parameters = [_parameter(name, field) for name, field in Settings.model_fields.items()]
    signature = inspect.Signature(sorted(parameters, key=lambda parameter: parameter.name != POSITIONAL))

    def run(**chosen: object) -> None:
        command(**chosen)

    run.__doc__ = command.__doc__
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(name: str, field: "FieldInfo") -> inspect.Parameter:
    kind = list[str] if name in REPEATED else _kind(field.annotation)
    text = f"{field.description} (RECSYS_{name.upper()}){_default(field)}"
    if name == POSITIONAL:
        info: Any = typer.Argument(help=text, show_default=False)
    else:
        flag = name.replace("_", "-")
        info = typer.Option(f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}", help=text, show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def _kind(annotation: Any) -> Any:
    """What the command line makes of a value before the settings check it."""
    if get_origin(annotation) is UnionType:
        [annotation] = [part for part in get_args(annotation) if part is not type(None)]
    is_known = annotation in (int, float, bool, Path) or get_origin(annotation) is Literal
    return annotation if is_known else str


def _default(field: "FieldInfo") -> str:
    if field.default in (None, ()):
        return ""
    value = (
        {True: "on", False: "off"}.get(field.default, field.default)
        if isinstance(field.default, bool)
        else field.default
    )
    return f"  [default: {value}]"

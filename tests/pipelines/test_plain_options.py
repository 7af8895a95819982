"""Plain values are read without Typer's pydantic, others as Typer reads them."""

import subprocess
import sys
from enum import StrEnum
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from pipelines.plain_options import PlainCommand, PlainGroup


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def application(command: type | None, group: type | None) -> typer.Typer:
    app = typer.Typer(cls=group)
    app.callback()(lambda: None)

    @app.command(cls=command)
    def show(
        names: list[str],
        *,
        count: int = 1,
        share: float | None = None,
        most: Annotated[int | None, typer.Option(min=1)] = None,
        colour: Colour = Colour.RED,
        loud: bool = False,
        more: list[str] | None = None,
    ) -> None:
        print(repr((names, count, share, most, colour, loud, more)))

    return app


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "b"],
        ["a", "--count", "-3", "--share", "2", "--colour", "blue", "--loud", "--more", "x", "--more", "y"],
        ["a", "--share", "1e3", "--count", "007"],
        ["a", "--share", "nan"],
        ["a", "--count", "3.5"],
        ["a", "--most", "0"],
        ["a", "--most", "4"],
        ["a", "--colour", "green"],
        [],
        ["--help"],
    ],
)
def test_equals_typer(arguments: list[str]) -> None:
    ours, typers = (
        CliRunner().invoke(application(*classes), ["show", *arguments])
        for classes in ((PlainCommand, PlainGroup), (None, None))
    )
    assert (ours.exit_code, ours.output) == (typers.exit_code, typers.output)


def test_ingest_does_without_pydantic() -> None:
    script = """
import sys
from pipelines.cli import build
sys.argv[1:] = ["ingest", "nothing.csv", "--to", "shop", "--min-rating", "2", "--min-user", "5"]
try:
    build("ingest")()
except Exception as error:
    print(type(error).__name__, "pydantic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DataError", "False"]

"""The pages about image models name every model, and commands that exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from pipelines.cli import build
from recsys_vae.images.models.catalog import CATALOG

FOLDER = Path(__file__).parents[2] / "docs" / "images"
COMMAND = re.compile(r"^    recsys (images .*)$", re.MULTILINE)
COMMANDS = sorted({line for page in FOLDER.glob("*.md") for line in COMMAND.findall(page.read_text())})


def test_every_model_stands_in_the_list() -> None:
    models = (FOLDER / "README.md").read_text().partition("## The models")[2].partition("\nHow a")[0]
    assert set(re.findall(r"`([a-z0-9-]+)`", models)) == set(CATALOG)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_has_these_options(line: str) -> None:
    _, verb, *arguments = shlex.split(line)
    images = get_command(build()).commands["images"]  # type: ignore[attr-defined]
    context = images.commands[verb].make_context(verb, arguments)
    assert context.args == []

"""`--ray`: the cluster that a verb works on."""

import os
from typing import Annotated

import typer

VARIABLE = "RECSYS_RAY"

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Work on a Ray cluster: HOST:PORT of its head, auto, or local for one of this machine alone.  "
        f"[default: {VARIABLE}, else none]",
        show_default=False,
    ),
]


def chosen_address(option: str | None) -> str | None:
    """Where the work is to go: what the option says, else the variable; None for this process."""
    return option or os.environ.get(VARIABLE) or None

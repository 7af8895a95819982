"""`recsys`: one verb a pipeline.

Thin on purpose: the verbs live in `pipelines.commands`, and other packages mount theirs through the entry-point
group `recsys.commands` (a callable that takes the Typer application). Errors raised on purpose become one line and exit
status 1.
"""

import errno
import os
import re
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

import typer

from recsys_vae import __version__
from recsys_vae.errors import ConfigError, RecsysError
from recsys_vae.extras import explained

GROUPS = (
    "commands.datasets",
    "commands.evaluation",
    "commands.models",
    "commands.tune",
    "commands.registry",
    "commands.recommend",
    "images.commands.group",
    "commands.doctor",
)
"""Modules of `pipelines` that add verbs, in the order of `recsys --help`."""
ALONE = dict.fromkeys(("data", "ingest", "explain-data"), "commands.datasets")
"""Verbs whose module is all that they need: without the others, and what those import, they start in half the time."""
TOGETHER = ("train", "publish")
"""Verbs that several processes, started by torchrun, carry out together."""
OF_THE_MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES",
        "EPERM",
        "EROFS",
        "ENOSPC",
        "EDQUOT",
        "EFBIG",
        "ENAMETOOLONG",
        "ENOTDIR",
        "EISDIR",
        "EIO",
        "ELOOP",
    )
    if hasattr(errno, name)
)
"""Numbers of errors that say what is wrong with a place, and nothing of our code."""
_ERRNO = re.compile(r"(?:os error|[Ee]rrno) (\d+)")
PLACE_CHARACTERS = 300
INTERRUPTED = 130
"""Exit status that Typer makes of Ctrl-C."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and context.invoked_subcommand not in TOGETHER:
        raise ConfigError(f"recsys {context.invoked_subcommand} is for one process: start it without torchrun.")


@cache
def build(verb: str = "") -> typer.Typer:
    """The application: own verbs first, then those of other packages; of a verb in `ALONE` its module's alone."""
    app = typer.Typer(
        name="recsys",
        help="From an interaction log to served recommendations.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_root)
    for group in [ALONE[verb]] if verb in ALONE else GROUPS:
        import_module(f"pipelines.{group}").mount(app)
    if verb not in ALONE:
        for entry_point in entry_points(group="recsys.commands"):
            entry_point.load()(app)
    return app


def _of_the_machine(error: Exception) -> str | None:
    """One line about an error that no code could have prevented: a full disk, a folder that may not be written to."""
    found = _ERRNO.search(str(error))
    number = getattr(error, "errno", None) or (int(found[1]) if found else 0)
    if number not in OF_THE_MACHINE or not (isinstance(error, OSError) or type(error).__module__.startswith("polars")):
        return None
    place = getattr(error, "filename", None)
    where = f"{str(place)[:PLACE_CHARACTERS]} cannot be read or written" if place else "A file could not be written"
    return (
        f"{where}: {os.strerror(number)}. Name another place (--to, --out, RECSYS_HOME), or make room and rights there."
    )


def main() -> None:
    """Run the command line."""
    rank = os.environ.get("RANK", "0")
    try:
        with explained():
            build(sys.argv[1] if sys.argv[1:2] and sys.argv[1] in ALONE else "")()
    except RecsysError as error:
        print(f"error: {error}" if rank == "0" else f"error in process {rank}: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        reason = _of_the_machine(error)
        if reason is None:
            raise
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED and rank == "0":
            print("interrupted; nothing half-written is left; training goes on with --resume", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()

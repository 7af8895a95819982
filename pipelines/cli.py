"""`recsys`: one verb a pipeline.

Thin on purpose: the verbs live in `pipelines.commands`, and other packages mount theirs through the entry-point
group `recsys.commands` (a callable that takes the Typer application). Errors raised on purpose become one line and exit
status 1.
"""

import gc
import os
import sys
from functools import cache
from importlib import import_module
from typing import NoReturn

import typer

from pipelines.plain_options import PlainGroup
from recsys_vae import __version__
from recsys_vae.errors import ConfigError, RecsysError
from recsys_vae.extras import explained
from recsys_vae.redaction import redact_logs
from recsys_vae.storage import refusal
from recsys_vae.termination import TERMINATED, end_on_sigterm

GROUPS = {
    "commands.datasets": ("data", "ingest", "explain-data", "fold"),
    "commands.simulate": ("simulate",),
    "commands.size": ("size",),
    "commands.checks": ("check",),
    "commands.evaluation": ("split", "evaluate"),
    "commands.models": ("models", "train", "publish"),
    "commands.repeats": ("learn-repeats",),
    "commands.ranker": ("learn-ranker",),
    "commands.update": ("update",),
    "commands.tune": ("tune",),
    "commands.index": ("index",),
    "commands.compare": ("compare",),
    "commands.registry": ("register", "upload", "promote", "rollback"),
    "commands.recommend": ("recommend", "embed", "lists", "neighbours"),
    "commands.retrain": ("retrain",),
    "commands.clean": ("clean", "erase"),
    "images.commands.group": ("images",),
    "commands.doctor": ("doctor",),
}
"""Modules of `pipelines` and the verbs that they add, in the order of `recsys --help`."""
ALONE = {verb: module for module, verbs in GROUPS.items() for verb in verbs if verb != "retrain"}
"""Verbs whose module is all that they need, by its name; `retrain` carries out the others."""
TOGETHER = ("train", "publish")
"""Verbs that several processes, started by torchrun, carry out together."""
RESUMED = (("train",), ("publish",), ("tune",), ("compare",), ("images", "train"), ("images", "fit-prior"))
"""Verbs with --resume."""
SERVING = ("serve",)
"""Verbs that take signals themselves: open requests end first."""
INTERRUPTED = 130
"""Exit status that Typer makes of Ctrl-C."""
ENDED = {INTERRUPTED: "interrupted", TERMINATED: "terminated"}
"""How a process was ended from outside, by its exit status."""

PANIC = "PanicException"
"""What polars and other libraries in Rust raise where they do not go on; no `Exception`, and of no module to import."""


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
        cls=PlainGroup,
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
        from importlib.metadata import entry_points

        for entry_point in entry_points(group="recsys.commands"):
            entry_point.load()(app)
    return app


def own_process() -> None:
    """Take over signals, logs and tracebacks of the process, which is there for the command line alone."""
    if not set(SERVING).intersection(sys.argv[1:2]):
        end_on_sigterm()
    redact_logs()


def _how_to_go_on(words: list[str]) -> str:
    resumed = any(tuple(words[: len(verb)]) == verb for verb in RESUMED)
    return "; training goes on with --resume" if resumed else ""


def main() -> None:
    """Run the command line."""
    rank = os.environ.get("RANK", "0")
    try:
        with explained():
            app = build(sys.argv[1] if sys.argv[1:2] and sys.argv[1] in ALONE else "")
            gc.freeze()
            gc.enable()
            app()
    except RecsysError as error:
        _fail(error, rank)
    except Exception as error:
        refused = refusal(error)
        if refused is None:
            raise
        _fail(refused, rank)
    except SystemExit as end:
        if isinstance(end.code, int) and end.code in ENDED and rank == "0":
            print(f"{ENDED[end.code]}; nothing half-written is left{_how_to_go_on(sys.argv[1:])}", file=sys.stderr)
        raise
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        _fail(
            RecsysError(f"polars cannot go on: {error}. A file that it read is damaged, or of a kind it lacks."), rank
        )


def _fail(error: RecsysError, rank: str) -> NoReturn:
    print(f"error: {error}" if rank == "0" else f"error in process {rank}: {error}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    own_process()
    main()

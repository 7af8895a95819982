"""What commands tell people: what they are at; and tables, as wide as the terminal, uncut where there is none."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNCUT = 10_000
"""Columns of a pipe or file: more than any table has."""


def output_console(*, highlight: bool = True) -> "Console":
    """Standard output. Rich takes what is no terminal to be 80 columns wide, and cuts tables to that.

    Args:
        highlight: whether numbers and paths stand out.
    """
    from rich.console import Console

    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if has_width else UNCUT, highlight=highlight)


def say_if_new(what: str, name: str, known: Sequence[str]) -> None:
    """Tell whoever resumes what is not there that it begins now: the name may be misspelt.

    Args:
        what: is resumed.
        name: of it.
        known: names of what is there.
    """
    if name not in known:
        others = f" There are: {', '.join(known)}." if known else ""
        print(f"note: there is no {what} {name} to resume: it begins now.{others}", file=sys.stderr, flush=True)


def prepare_tables() -> None:
    """Import beside what goes on what `output_console` and tables take."""
    for name in ("rich.console", "rich.table"):
        Thread(target=import_module, args=(name,), name="recsys-print").start()


def told_at_last(step: Callable[[str], None], last: str, act: Callable[[], None]) -> Callable[[str], None]:
    """`step`, which also acts where it is told of the last one."""

    def told(what: str) -> None:
        step(what)
        if what == last:
            act()

    return told


@contextmanager
def shown_steps() -> Iterator[Callable[[str], None]]:
    """Give what is to be told which step begins, in a few words; a terminal shows it while it lasts."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update

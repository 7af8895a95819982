"""The console that tables are printed to: as wide as the terminal, and nowhere cut where there is none."""

import os
import sys

from rich.console import Console

UNCUT = 10_000
"""Columns of a pipe or file: more than any table has."""


def output_console(*, highlight: bool = True) -> Console:
    """Standard output. Rich takes what is no terminal to be 80 columns wide, and cuts tables to that.

    Args:
        highlight: whether numbers and paths stand out.
    """
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if has_width else UNCUT, highlight=highlight)

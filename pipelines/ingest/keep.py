"""Keep: which row stands; apart from the rules, so that the command line names the choices without polars."""

from enum import StrEnum


class Keep(StrEnum):
    """Which row stands for a (user, item) that occurs more than once."""

    LAST = "last"
    FIRST = "first"
    MAX = "max"
    SUM = "sum"

"""RecBole's atomic files: tab-separated, a header of NAME:TYPE.

Source: recbole.io/docs/user_guide/data/atomic_files.html. A sequence (`token_seq`, `float_seq`) is a field of values
with blanks between them; it becomes a set, `a|b`, unless it is a name or a title.
"""

import re
from functools import partial

import polars as pl

from pipelines.ingest.formats.format import Format, Role
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Layout
from recsys_vae.data.columns import ITEM, USER

COLUMN = r"[^\t:]+:(?:token|float)(?:_seq)?"
ENDINGS = {".inter": Role.LOG, ".user": Role.USERS, ".item": Role.ITEMS}
TEXT = re.compile("title|name|text|description")
SEQUENCE = " (sequence)"


def _columns(peek: Peek) -> list[list[str]]:
    """Names and types; a name that has none is of one token."""
    return [[name.partition(":")[0], name.rpartition(":")[2]] for name in peek.header.split("\t")]


def _role(peek: Peek) -> Role | None:
    """By its ending; without one by the ids in it."""
    if not re.fullmatch(rf"{COLUMN}(?:\t{COLUMN})*", peek.header):
        return None
    names = {name for name, _ in _columns(peek)}
    by_ids = Role.LOG if {USER, ITEM} <= names else Role.USERS if USER in names else Role.ITEMS
    return next((role for ending, role in ENDINGS.items() if peek.name.endswith(ending)), by_ids)


def _layout(peek: Peek) -> Layout:
    names = tuple(
        name + (SEQUENCE if kind.endswith("_seq") and not TEXT.search(name) else "") for name, kind in _columns(peek)
    )
    return Layout(separator="\t", quote=None, columns=names)


def _plain_name(name: str) -> str:
    return re.sub(r":(?:token|float)(?:_seq)?$", "", name)


def _plain_columns(rows: pl.DataFrame) -> pl.DataFrame:
    sets = [name for name in rows.columns if name.endswith(SEQUENCE)]
    joined = rows.with_columns(pl.col(name).str.replace_all(" +", "|") for name in sets)
    return joined.rename({name: name.removesuffix(SEQUENCE) for name in sets})


def _is(role: Role, peek: Peek) -> bool:
    return _role(peek) == role


FORMATS = tuple(
    Format(
        "recbole" if role is Role.LOG else f"recbole-{role}",
        f"RecBole's atomic files, {ending}",
        partial(_is, role),
        _layout,
        role,
        rows=_plain_columns,
        plain_name=_plain_name,
    )
    for ending, role in ENDINGS.items()
)

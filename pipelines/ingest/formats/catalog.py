"""Catalog: all formats of the field that are known by name, and which of them a file is of."""

from pipelines.ingest.formats import jester, lists, mind, movielens, netflix, places, recbole, shops
from pipelines.ingest.formats.format import Format
from pipelines.ingest.formats.peek import Peek
from recsys_vae.errors import UnknownNameError

FORMATS: dict[str, Format] = {
    one.name: one
    for family in (recbole, movielens, shops, places, netflix, mind, jester, lists)
    for one in family.FORMATS
}
"""Name -> format, the more particular ones first: the first that recognises a file has it."""


def find_format(name: str) -> Format:
    """A format by its name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


def recognise(peek: Peek) -> Format | None:
    """The format that a file looks like; None where it is a table like any other."""
    if peek.names_our_columns:
        return None
    return next((one for one in FORMATS.values() if one.recognise(peek)), None)

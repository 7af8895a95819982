"""Lists of users that people make: a text file with an id a line, or a table with a column of ids."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

import polars as pl

from pipelines.ingest import value_parsers
from pipelines.ingest.log_files import FORMATS, check_all_read, scan_file, unreadable
from recsys_vae.data.columns import USER
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError, EmptyDataError, SchemaError

_LINE_END = re.compile(r"\r\n|\n|\r")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def read_user_list(path: Path) -> IdMap:
    """The users that a file names, each once.

    The endings of logs name tables; any other file has an id a line. There a byte-order mark, blank lines and blanks
    around an id say nothing, a first line `user_id` is a heading, and an id in quotes is what stands between them, as a
    spreadsheet writes it.

    Raises:
        DataError: there is no such file, or it cannot be read.
        SchemaError: a table has no column `user_id`.
        EmptyDataError: it names nobody.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path} with a list of users.")
    ending = path.name.lower().removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    users = IdMap.from_values(_of_table(path) if ending in FORMATS else _of_lines(path))
    if not len(users):
        raise EmptyDataError(f"{path} names no user. Expected an id a line, or a table with a column {USER!r}.")
    return users


def _of_table(path: Path) -> pl.Series:
    try:
        frame = scan_file(path)
        found = frame.collect_schema()
        if USER not in found:
            raise SchemaError(f"{path} has no column {USER!r}; it has {', '.join(found)}.")
        ids = frame.select(value_parsers.read_id(pl.col(USER), found[USER])).collect()[USER]
    except pl.exceptions.PolarsError as error:
        raise unreadable(path.name, error) from error
    check_all_read(path, len(ids))
    return ids.drop_nulls()


def _of_lines(path: Path) -> pl.Series:
    lines = (line.strip() for line in _LINE_END.split(_text(path)))
    ids = [_unquoted(line) for line in lines if line]
    return pl.Series(USER, ids[1:] if ids and ids[0] == USER else ids, dtype=pl.String)


def _unquoted(line: str) -> str:
    return line[1:-1].replace('""', '"') if _QUOTED.fullmatch(line) else line


def _text(path: Path) -> str:
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
    try:
        return content.removeprefix(BOM_UTF8).decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is no text in {encoding.upper()}: line {line} holds other bytes. Save it as UTF-8, or give a "
            f"table ({', '.join(FORMATS)}) with a column {USER!r}."
        ) from error

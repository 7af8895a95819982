"""Lists of users that people make: a text file with an id a line, or a table with a column of ids."""

import re
from pathlib import Path

import polars as pl

from pipelines.ingest.formats.encodings import encoding_at
from pipelines.ingest.formats.format import Role
from pipelines.ingest.formats.peek import unpacked_name
from pipelines.ingest.formats.recognition import look_at
from pipelines.ingest.ids import read_column
from pipelines.ingest.metadata_files import read_table, refuse
from pipelines.ingest.readers.streams import texts
from pipelines.ingest.table_schemas import check_type
from recsys_vae.data.columns import USER
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, SchemaError

TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".ndjson", ".jsonl", ".json")
"""Endings of tables, before that of a compression; any other file has an id a line."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def read_user_list(path: Path) -> IdMap:
    """The users that a file names, each once; ids are read as those of logs are.

    In a file with an id a line a byte-order mark, blank lines and blanks around an id say nothing, a first line
    `user_id` is a heading, and an id in quotes is what stands between them, as a spreadsheet writes it.

    Raises:
        DataError: there is no such file, or it cannot be read.
        SchemaError: a table has no column `user_id`.
        EmptyDataError: it names nobody.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path} with a list of users.")
    try:
        found = _of_table(path) if unpacked_name(path).endswith(TABLES) else _of_lines(path)
    except EmptyDataError:
        found = pl.Series(USER, [], dtype=pl.String)
    users = IdMap.from_values(read_column(found).drop_nulls())
    if not len(users):
        raise EmptyDataError(f"{path} names no user. Expected an id a line, or a table with a column {USER!r}.")
    return users


def _of_table(path: Path) -> pl.Series:
    try:
        recognised = look_at(path, names=[USER], role=Role.USERS)
    except ConfigError as error:
        raise SchemaError(
            f"{path} has no line that names its columns; expected one with {USER!r}. A list without columns is a text "
            "file (.txt) with an id a line."
        ) from error
    frame, rejected = read_table(path, recognised)
    refuse(path, rejected)
    if USER not in frame.columns:
        raise SchemaError(f"{path} has no column {USER!r}; it has {', '.join(frame.columns)}.")
    check_type(USER, frame[USER].dtype)
    return frame[USER]


def _of_lines(path: Path) -> pl.Series:
    lines = (line.strip() for line in _text(path).split("\n"))
    ids = [_unquoted(line) for line in lines if line]
    return pl.Series(USER, ids[1:] if ids and ids[0] == USER else ids, dtype=pl.String)


def _unquoted(line: str) -> str:
    return line[1:-1].replace('""', '"') if _QUOTED.fullmatch(line) else line


def _text(path: Path) -> str:
    encoding = encoding_at(path)
    parts = list(texts(path, encoding))
    if damage := next((part.damage for part in parts if part.damage), ""):
        raise DataError(f"{path.name} cannot be read: {damage}. Check that it is whole.")
    text = "".join(part.content for part in parts)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise DataError(
            f"{path} is no text in {encoding.upper()}: line {line} holds other bytes. Save it as UTF-8, or give a "
            f"table ({', '.join(TABLES)}) with a column {USER!r}."
        ) from error
    return text

"""Metadata of users or items: one row an id, joined to the interactions by id when it is used; and their fields."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from pipelines.ingest import value_parsers
from pipelines.ingest.log_files import ColumnMap, check_all_read, scan_file, unreadable
from recsys_vae.atomic import write_atomically
from recsys_vae.data.features import SENTENCE, Field
from recsys_vae.errors import ConfigError, DataError, EmptyDataError

USER_OPTION, ITEM_OPTION = "--user-field", "--item-field"
"""Options that declare fields."""


def write_metadata(source: Path, mapping: ColumnMap, id_column: str, target: Path) -> int:
    """Copy a metadata table to Parquet, its id first, as text and named `id_column`; returns its number of rows.

    All rows are kept, also of ids without interactions: such users and items can be served by what is known of them.

    Raises:
        ConfigError: no column holds the id.
        DataError: an id is missing or occurs twice, or the source holds other than the rows that were read.
        EmptyDataError: the table has no rows.
    """
    frame = scan_file(source)
    found = frame.collect_schema()
    theirs = mapping.id_column(id_column, found.names(), source.name)
    others = [name for name in found if name not in (theirs, id_column)]
    table = frame.select(value_parsers.read_id(pl.col(theirs), found[theirs]).alias(id_column), *others)
    try:
        _check_ids(table.select(id_column), id_column, source.name)
        table.sink_parquet(target)
    except pl.exceptions.PolarsError as error:
        raise unreadable(source.name, error) from error
    rows = int(pl.scan_parquet(target).select(pl.len()).collect().item())
    check_all_read(source, rows)
    return rows


@dataclass(frozen=True)
class Fields:
    """Fields of the metadata of users and of items that models may use."""

    users: tuple[Field, ...] = ()
    items: tuple[Field, ...] = ()

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_atomically(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Fields":
        """Read what `write` wrote; none where there is no such file.

        Raises:
            DataError: it is something else.
        """
        if not path.is_file():
            return cls()
        try:
            content = json.loads(path.read_bytes())
            return cls(*(tuple(Field(**field) for field in content[part]) for part in ("users", "items")))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} does not declare fields: {error}. Run `recsys ingest` again.") from error


def check_fields(fields: Sequence[Field], table: Path, option: str) -> None:
    """Raise ConfigError where a field is declared that the table does not have, or one of sentences for users."""
    present = pl.scan_parquet(table).collect_schema().names() if table.is_file() else []
    for field in fields:
        if field.kind == SENTENCE and option == USER_OPTION:
            raise ConfigError(f"{option} {field.name}:{field.kind}: sentences describe items only. Declare it as text.")
        if field.name not in present:
            raise ConfigError(
                f"{option} {field.name}:{field.kind} names no column of the metadata. There are: "
                f"{', '.join(present) or 'none, as there is no such table'}."
            )


def _check_ids(ids: pl.LazyFrame, id_column: str, source: str) -> None:
    counts = ids.group_by(id_column).agg(pl.len().alias("n")).collect(engine="streaming")
    if counts.is_empty():
        raise EmptyDataError(f"{source} has no rows. Leave the option out, or give a table with one row an id.")
    missing = counts.filter(pl.col(id_column).is_null())
    if not missing.is_empty():
        raise DataError(f"{missing['n'].item()} rows of {source} have no {id_column}. Remove them first.")
    twice = counts.filter(pl.col("n") > 1).sort(id_column)
    if not twice.is_empty():
        some = ", ".join(twice[id_column].head(5).to_list())
        raise DataError(
            f"{source} names {twice.height} {id_column}s more than once, among them {some}. Expected one row an id: "
            "remove or merge the duplicates."
        )

"""Metadata of users or items: one row an id, joined to the interactions by id when it is used; and their fields."""

from pathlib import Path

import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest import value_parsers
from pipelines.ingest.log_files import ColumnMap, check_all_read, scan_file, unreadable
from recsys_vae.errors import DataError, EmptyDataError
from recsys_vae.frames import scan_table


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
    rows = int(scan_table(target).select(pl.len()).collect().item())
    check_all_read(source, rows)
    return rows


def check_described(dataset: DatasetDir, table: Path, id_column: str, source: str) -> int:
    """How many of the users or items with interactions a metadata table describes.

    Raises:
        DataError: none: the ids are others.
    """
    ids = dataset.interactions().select(id_column).unique()
    described = pl.scan_parquet(table).select(id_column)
    found = int(ids.join(described, on=id_column, how="semi").select(pl.len()).collect(engine="streaming").item())
    if not found:
        ours, theirs = (
            ", ".join(frame.select(id_column).head(3).collect()[id_column].to_list())
            for frame in (ids.sort(id_column), described)
        )
        raise DataError(
            f"{source} describes none of the ids in column {id_column!r} of the log: there they are {ours} ..., in the "
            f"table {theirs} .... Is another of its columns the id? Or leave the table out."
        )
    return found


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

"""Metadata of users or items: one row an id, joined to the interactions by id when it is used; and their fields."""

from pathlib import Path

import polars as pl

from pipelines.ingest import value_parsers
from pipelines.ingest.log_files import ColumnMap, layout_of
from pipelines.ingest.log_rows import Quarantine, rejected_rows
from pipelines.ingest.readers import Layout, Rejected, open_log
from recsys_vae.data import columns as c
from recsys_vae.errors import DataError, EmptyDataError


def read_table(path: Path, layout: Layout | None = None) -> tuple[pl.DataFrame, list[Rejected]]:
    """A small table whole, with all its columns, and the lines that could not be read.

    Raises:
        DataError: there is no such file, or it cannot be read.
        EmptyDataError: it has no header and no row.
        UnknownNameError: its ending names no known format.
    """
    log = open_log(path, layout or layout_of(path))
    frames: list[pl.DataFrame] = []
    rejected: list[Rejected] = []
    for block in log:
        frames.append(block.rows)
        rejected += block.rejected
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame(), rejected


def write_metadata(
    source: Path,
    mapping: ColumnMap,
    id_column: str,
    target: Path,
    *,
    layout: Layout | None = None,
    quarantine: Quarantine | None = None,
) -> int:
    """Copy a metadata table to Parquet, its id first, as text and named `id_column`; returns its number of rows.

    All rows are kept, also of ids without interactions: such users and items can be served by what is known of them.

    Args:
        quarantine: where lines go that cannot be read; None: they are an error.

    Raises:
        ConfigError: no column holds the id.
        DataError: an id is missing or occurs twice, or a line cannot be read and there is no quarantine.
        EmptyDataError: the table has no rows.
    """
    frame, rejected = read_table(source, layout)
    if rejected and quarantine is None:
        raise DataError(f"{source.name}, line {rejected[0].line:,}: {rejected[0].reason}. Correct it, or remove it.")
    if quarantine is not None:
        rows = rejected_rows(source, rejected, [one.line for one in rejected])
        quarantine.add(rows.with_columns(pl.format(f"{source.name}: {{}}", c.REASON).alias(c.REASON)))
    found = frame.schema
    theirs = mapping.id_column(id_column, found.names(), source.name)
    others = [name for name in found if name not in (theirs, id_column)]
    table = frame.select(value_parsers.read_id(pl.col(theirs), found[theirs]).alias(id_column), *others)
    _check_ids(table.select(id_column), id_column, source.name)
    table.write_parquet(target)
    return table.height


def _check_ids(ids: pl.DataFrame, id_column: str, source: str) -> None:
    counts = ids.group_by(id_column).agg(pl.len().alias("n"))
    if counts.is_empty():
        raise EmptyDataError(f"{source} has no rows. Leave the option out, or give a table with one row an id.")
    missing = counts.filter(pl.col(id_column).is_null())
    if not missing.is_empty():
        raise DataError(f"{missing['n'].item()} rows of {source} have no {id_column}. Remove them first.")
    twice = counts.filter(pl.col("n") > 1).sort(id_column)
    if not twice.is_empty():
        some = ", ".join(twice[id_column].head(5).str.slice(0, 100).to_list())
        raise DataError(
            f"{source} names {twice.height} {id_column}s more than once, among them {some}. Expected one row an id: "
            "remove or merge the duplicates."
        )

"""Metadata of users or items: one row an id, joined to the interactions by id when it is used; and their fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest import ids
from pipelines.ingest.formats.format import Role
from pipelines.ingest.formats.recognition import Recognised, Says, look_at
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.log_rows import Quarantine, rejected_rows
from pipelines.ingest.metadata_files import parts_of_table, read_parts, refuse
from pipelines.ingest.readers import Layout, Rejected
from pipelines.ingest.table_schemas import NO_ID, check_type
from pipelines.ingest.value_parsers import guess
from recsys_vae.data import columns as c
from recsys_vae.data.ids import is_id
from recsys_vae.errors import ConfigError, DataError, EmptyDataError
from recsys_vae.frames import scan_table

ROLES = {c.USER: Role.USERS, c.ITEM: Role.ITEMS}


@dataclass(frozen=True)
class MetadataFile:
    """A file of metadata, and what is said of it.

    Attributes:
        path: where it lies; a folder or a glob of its parts, where it comes in several.
        mapping: of the log; its name of the id is tried where the file has no column of ours.
        own: mapping of this file alone, which rules.
        says: of its layout.
        prefix: put before each id.
        layout: how it is laid out, where its looks do not say it.
    """

    path: Path
    mapping: ColumnMap = field(default_factory=ColumnMap)
    own: ColumnMap = field(default_factory=ColumnMap)
    says: Says = field(default_factory=Says)
    prefix: str = ""
    layout: Layout | None = None


def _recognised(source: MetadataFile, parts: Sequence[Path], id_column: str) -> list[Recognised]:
    """How each part is read; raises DataError where they are of several kinds."""
    if source.layout is not None:
        return [Recognised(source.layout)] * len(parts)
    names = [theirs for ours, theirs in (*source.own.pairs, *source.mapping.pairs) if ours == id_column]
    found = [look_at(part, source.says, names=names, role=ROLES[id_column]) for part in parts]
    for part, one in zip(parts, found, strict=True):
        if _kind(one) != _kind(found[0]):
            raise DataError(
                f"{parts[0].name} is {found[0]}, and {part.name} is {one}: parts of one table are alike. Give the "
                "files of one table: a glob instead of a folder, if other files lie in it."
            )
    return found


def _kind(one: Recognised) -> tuple[object, ...]:
    return one.format, one.layout.kind, one.layout.separator


def write_metadata(source: MetadataFile, id_column: str, target: Path, quarantine: Quarantine | None = None) -> int:
    """Copy a metadata table to Parquet, its id first, as text and named `id_column`; returns its number of rows.

    All rows are kept, also of ids without interactions: such users and items can be served by what is known of them.

    Args:
        quarantine: where lines go that cannot be read; None: they are an error.

    Raises:
        ConfigError: no column holds the id.
        DataError: an id is missing or occurs twice, or a line cannot be read and there is no quarantine.
        SchemaError: ids are lists, or bytes that are no text.
        EmptyDataError: the table has no rows.
    """
    name, parts = source.path.name, parts_of_table(source.path)
    ways = _recognised(source, parts, id_column)
    recognised = ways[0]
    found, rejected = read_parts(parts, ways)
    if quarantine is None:
        for part, line in rejected[:1]:
            refuse(part, [line])
    else:
        for part in parts:
            _set_aside(part, [line for one, line in rejected if one == part], quarantine)
    source = replace(
        source,
        own=source.own.renamed(recognised.plain_name),
        mapping=source.mapping.renamed(recognised.plain_name),
    )
    theirs = _id_column(source, id_column, dict(recognised.mapping).get(id_column), found.columns)
    check_type(theirs, found[theirs].dtype)
    others = [column for column in found.columns if column not in (theirs, id_column)]
    table = found.select((pl.lit(source.prefix) + ids.read_column(found[theirs])).alias(id_column), *others)
    _check_ids(table.select(id_column), id_column, name)
    table.write_parquet(target)
    return table.height


def _set_aside(part: Path, rejected: Sequence[Rejected], quarantine: Quarantine) -> None:
    rows = rejected_rows(part, rejected, [one.line for one in rejected])
    quarantine.add(rows.with_columns(pl.format(f"{part.name}: {{}}", c.REASON).alias(c.REASON)))


def check_described(dataset: DatasetDir, table: Path, id_column: str, source: str) -> int:
    """How many of the users or items with interactions a metadata table describes.

    Raises:
        DataError: none: the ids are others.
    """
    ids = dataset.interactions().select(id_column).unique()
    described = scan_table(table).select(id_column)
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


def _id_column(source: MetadataFile, ours: str, of_format: str | None, found: Sequence[str]) -> str:
    """The column that holds the id: the one that is mapped for this file, else ours, else that of the log or format."""
    option = f"--{ROLES[ours]}-map"
    own = dict(source.own.pairs).get(ours)
    if own is not None and own not in found:
        raise ConfigError(
            f"{option} {ours}={own}: {source.path.name} has no column {own!r}. Columns found: {', '.join(found)}."
        )
    for name in (own, ours, dict(source.mapping.pairs).get(ours), of_format):
        if name in found:
            return str(name)
    raise ConfigError(
        f"{source.path.name} has no column {ours!r}. Columns found: {', '.join(found)}. "
        f"Say which of them is the id: {option} {ours}={guess(ours, list(found))}."
    )


def _check_ids(ids: pl.DataFrame, id_column: str, source: str) -> None:
    counts = ids.group_by(id_column).agg(pl.len().alias("n"))
    if counts.is_empty():
        raise EmptyDataError(f"{source} has no rows. Leave the option out, or give a table with one row an id.")
    missing = counts.filter(pl.col(id_column).is_null())
    if not missing.is_empty():
        raise DataError(f"{missing['n'].item()} rows of {source} have no {id_column}. Remove them first.")
    bad = counts.filter(~is_id(pl.col(id_column)))[id_column]
    if not bad.is_empty():
        some = ", ".join(ascii(one[:50]) for one in bad.sort().head(3))
        raise DataError(f"{bad.len()} {id_column}s of {source} are {NO_ID}, among them {some}. Correct them first.")
    twice = counts.filter(pl.col("n") > 1).sort(id_column)
    if not twice.is_empty():
        some = ", ".join(twice[id_column].head(5).str.slice(0, 100).to_list())
        raise DataError(
            f"{source} names {twice.height} {id_column}s more than once, among them {some}. Expected one row an id: "
            "remove or merge the duplicates."
        )

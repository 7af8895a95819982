"""The users of a campaign: all whom a dataset knows, those of whom it knows something, or those whom a file names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from json import loads
from pathlib import Path

import polars as pl

from recsys_vae.data.changed_tables import scan_changed
from recsys_vae.data.columns import USER
from recsys_vae.data.features import NUMBER, SEPARATOR, SET, as_number
from recsys_vae.data.ids import is_id
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, SchemaError, UnknownNameError
from recsys_vae.frames import read_table, scan_table
from service.jobs.history_import import TABLE, USERS_TABLE

NAMED_VALUES = 10
FIELDS = "fields.json"
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": read_table,
    ".csv": partial(pl.read_csv, infer_schema=False),
    ".ndjson": pl.read_ndjson,
    ".jsonl": pl.read_ndjson,
}
"""Tables of users by the ending of their name; any other file has an id a line."""


@dataclass(frozen=True)
class Audience:
    """Whom a campaign is for.

    Attributes:
        users: ids, ascending, each once.
        n_strangers: how many of them the dataset does not know: they are answered as new users.
        strangers: the first of these.
    """

    users: pl.Series
    n_strangers: int = 0
    strangers: tuple[str, ...] = ()


def find_audience(dataset: Path, where: Sequence[str], named: Path | None) -> Audience:
    """The users that a file names, of the dataset where there is none, whose metadata have all these values.

    Args:
        dataset: its folder.
        where: conditions, FIELD=VALUE, on its table of users.
        named: a file of ids.

    Raises:
        ConfigError: a condition is written in another way, or names a field that there is not.
        DataError: the file cannot be read.
        EmptyDataError: nobody is left.
    """
    fitting = _where(dataset, where) if where else None
    known = _known(dataset) if fitting is None or named is not None else fitting
    if named is None:
        return _some(known)
    asked = _read(named)
    strangers = asked.filter(~asked.is_in(known.implode()))
    if fitting is not None:
        return _some(asked.filter(asked.is_in(fitting.implode())))
    return Audience(asked, len(strangers), tuple(strangers.head(NAMED_VALUES)))


def _some(users: pl.Series) -> Audience:
    if not len(users):
        raise EmptyDataError("There is nobody to recommend to: no user fits, or the dataset is empty.")
    return Audience(users)


def _known(dataset: Path) -> pl.Series:
    """Whoever has interactions, or a row in the table of users."""
    interactions = scan_changed(dataset, Path(TABLE).stem)
    tables = [] if interactions is None else [interactions]
    if (dataset / USERS_TABLE).is_file():
        tables.append(scan_table(dataset / USERS_TABLE))
    ids = [table.select(pl.col(USER).cast(pl.String).unique()) for table in tables]
    return pl.concat(ids).collect(engine="streaming")[USER].unique().sort()


def _where(dataset: Path, conditions: Sequence[str]) -> pl.Series:
    if not (dataset / USERS_TABLE).is_file():
        raise ConfigError(f"--where asks for users by metadata, and {dataset.name} has none. Ingest it with --users.")
    table, kinds = scan_table(dataset / USERS_TABLE), _kinds(dataset)
    columns = table.collect_schema()
    tests = []
    for condition in conditions:
        name, sign, value = condition.partition("=")
        if not sign or not name:
            raise ConfigError(f"--where {condition!r} is not understood. Write FIELD=VALUE, as in country=DE.")
        if name not in columns or name == USER:
            raise UnknownNameError("field of users", name, [known for known in columns if known != USER])
        tests.append(_test(name, value, columns[name], kinds.get(name)))
        if not table.select(tests[-1].any()).collect().item():
            raise EmptyDataError(f"No user has {name} {value!r}. {_present(table, name)}")
    found = table.filter(pl.all_horizontal(tests)).select(pl.col(USER).cast(pl.String)).collect()
    return found[USER].drop_nulls().unique().sort()


def _test(name: str, value: str, dtype: pl.DataType, kind: str | None) -> pl.Expr:
    """Whether the cell is this value, in the type of the column; a set of values holds it."""
    cell = pl.col(name)
    if isinstance(dtype, pl.List):
        return cell.list.eval(pl.element().cast(pl.String)).list.contains(value).fill_null(value=False)
    if kind == SET:
        several = cell.cast(pl.String).str.split(SEPARATOR).list.eval(pl.element().str.strip_chars())
        return several.list.contains(value).fill_null(value=False)
    if kind == NUMBER or dtype.is_numeric():
        number = as_number(value)
        if number is None:
            raise ConfigError(f"--where {name}={value}: {name} holds numbers, and {value!r} is none.")
        text = cell.str.strip_chars() if dtype == pl.String else cell
        return (text.cast(pl.Float64, strict=False) == number).fill_null(value=False)
    text = cell.cast(pl.String).str.strip_chars()
    return (text == value.strip()).fill_null(value=False)


def _present(table: pl.LazyFrame, name: str) -> str:
    try:
        found = (
            table.select(pl.col(name).cast(pl.String))
            .group_by(name)
            .len()
            .sort("len", name, descending=[True, False])
            .head(NAMED_VALUES)
            .collect()
        )
    except pl.exceptions.PolarsError:
        return ""
    values = ", ".join(str(value) for value in found[name].drop_nulls())
    return f"The most frequent values are: {values}." if values else "It holds no value at all."


def _kinds(dataset: Path) -> dict[str, str]:
    """Kinds of the fields that were declared at ingest, by name."""
    path = dataset / FIELDS
    if not path.is_file():
        return {}
    try:
        return {field["name"]: field["kind"] for field in loads(path.read_bytes())["users"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not declare fields: {error}. Run `recsys ingest` again.") from error


def _read(path: Path) -> pl.Series:
    if not path.is_file():
        raise DataError(f"There is no file {path} with a list of users.")
    try:
        users = _ids(path).drop_nulls().unique().sort()
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    users = users.filter(users.str.len_chars() > 0)
    if not len(users):
        raise EmptyDataError(f"{path} names no user. Expected an id a line, or a table with a column {USER!r}.")
    bad = pl.DataFrame({USER: users}).filter(~is_id(pl.col(USER)))
    if bad.height:
        raise DataError(f"{path} holds {bad.height:,} ids that are none, such as {bad[USER][0][:40]!r}.")
    return users


def _ids(path: Path) -> pl.Series:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        return pl.Series(USER, lines[1:] if lines[:1] == [USER] else lines, dtype=pl.String)
    table = reader(path)
    if USER not in table.columns:
        raise SchemaError(f"{path} has no column {USER!r}; it has {', '.join(table.columns)}.")
    return table[USER].cast(pl.String)

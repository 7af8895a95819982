"""Groups of the users who are asked: the values of a column of the dataset's table of users."""

import polars as pl

from pipelines.dataset.directory import DatasetDir
from recsys_vae.data.columns import USER
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import UnknownNameError
from recsys_vae.evaluation.breakdown import quantile_groups

MOST_VALUES = 20
"""Different numbers above which a column is cut into groups of about equal size."""
QUANTILES = 5


def groups_of(dataset: DatasetDir, column: str, users: IdMap) -> list[str | None]:
    """Group of each user, None where the table does not say.

    Raises:
        DataError: the dataset has no table of users.
        UnknownNameError: the table has no such column.
    """
    table = dataset.table(dataset.users_path)
    names = [name for name in table.collect_schema().names() if name != USER]
    if column not in names:
        raise UnknownNameError("column of the users", column, names)
    wanted = pl.LazyFrame({USER: users.values})
    found = wanted.join(table.select(USER, column), on=USER, how="left", maintain_order="left").collect()[column]
    return _named(_numbers(found))


def _numbers(column: pl.Series) -> pl.Series:
    """Texts that are all numbers, as tables of text have them, as numbers."""
    if column.dtype != pl.String:
        return column
    numbers = column.cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == column.null_count() and numbers.len() > numbers.null_count() else column


def _named(column: pl.Series) -> list[str | None]:
    if isinstance(column.dtype, pl.List):
        return [None if cell is None else "|".join(map(str, cell)) for cell in column.to_list()]
    if not column.dtype.is_numeric() or column.n_unique() <= MOST_VALUES:
        return [None if cell is None or cell != cell else _told(cell) for cell in column.to_list()]  # noqa: PLR0124 - NaN
    known = column.is_not_null() & ~column.cast(pl.Float64).is_nan().fill_null(value=True)
    values = column.filter(known).cast(pl.Float64).to_numpy()
    groups = quantile_groups(values, QUANTILES)
    ends = {group: (values[groups == group].min(), values[groups == group].max()) for group in set(groups.tolist())}
    names = iter([f"{_told(ends[group][0])}\N{EN DASH}{_told(ends[group][1])}" for group in groups.tolist()])
    return [next(names) if is_known else None for is_known in known.to_list()]


def _told(cell: object) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell)

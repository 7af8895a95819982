"""The items' metadata as a bundle carries them: each column in the type that its values have, so that they compare.

A log that is text, such as CSV, gives texts: there "90" is above "100". What a field is declared as decides; of columns
that nobody declared, what all their values look like.
"""

from collections.abc import Mapping

import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from recsys_vae.data.columns import ITEM
from recsys_vae.data.features import NUMBER, SEPARATOR, SET

INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
DECIMAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"
"""Numbers as they are written; what begins with a 0 is a code, such as that of a post office."""
FLAG = r"^(?i:true|false)$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def item_table(dataset: DatasetDir) -> pl.DataFrame | None:
    """The table of items in typed columns; None where the dataset has none.

    A text column declared as `number` holds floats, null where a value is no number; one declared as `set` holds lists
    of texts; one declared otherwise stays. Others are numbers, flags or dates where all their values are. Columns that
    had a type of their own keep it.
    """
    if not dataset.items_path.is_file():
        return None
    table = dataset.table(dataset.items_path).collect()
    kinds = {field.name: field.kind for field in Fields.read(dataset.fields_path).items}
    return table.with_columns(_typed(table[name], kinds) for name in table.columns if name != ITEM)


def _typed(column: pl.Series, kinds: Mapping[str, str]) -> pl.Series:
    if column.dtype != pl.String:
        return column
    kind = kinds.get(column.name)
    if kind == NUMBER:
        number = column.str.strip_chars().cast(pl.Float64, strict=False)
        return number.set(~number.is_finite(), None)
    if kind == SET:
        value = pl.element().str.strip_chars()
        return column.str.split(SEPARATOR).list.eval(value.filter(value != "").unique(maintain_order=True))
    return column if kind is not None else _inferred(column)


def _inferred(column: pl.Series) -> pl.Series:
    """The column in the narrowest type that all its values can be written in; blanks are no values."""
    values = column.str.strip_chars()
    values = values.set(values == "", None)
    if values.null_count() == len(values):
        return column
    if _all_match(values, INTEGER):
        return values.cast(pl.Int64)
    if _all_match(values, DECIMAL):
        return values.cast(pl.Float64)
    if _all_match(values, FLAG):
        return values.str.to_lowercase() == "true"
    if _all_match(values, DAY):
        days = values.str.to_date("%Y-%m-%d", strict=False)
        return days if days.null_count() == values.null_count() else column
    return column


def _all_match(values: pl.Series, pattern: str) -> bool:
    return bool(values.str.contains(pattern).fill_null(value=True).all())

"""Ids: texts, and one rule for whole numbers that a tool has turned into floats: `12.0` is `12`.

A column of numbers with a gap becomes floats in pandas, and is written as `12.0`. The same text may also be a version
or the number of a chapter: where `1.0` and `1.10` stand in one column, both stay as they are, and so where `07.0` does,
which no float is written as. So a column of texts is judged as a whole: by `count_forms`, added up over all that is
read of it. In a column of numbers there are no versions: a whole number is an id, a fraction is none.
"""

from collections.abc import Mapping

import polars as pl

WHOLE, FRACTION = "whole", "fraction"
"""Forms of texts that are counted: `12.0`, and any other number with points in it."""
_WHOLE = r"^(-?(?:0|[1-9][0-9]*))\.0+$"
_DOTTED = r"^-?[0-9]+(?:\.[0-9]+)+$"


def count_forms(values: pl.Series) -> dict[str, int]:
    """How many texts of a column are whole numbers written as floats, and how many are other numbers with points.

    Numbers count as what they are: a whole one in a column of floats or decimals is `whole`, no fraction is counted.
    """
    if values.dtype.is_float() or values.dtype.is_decimal():
        return {WHOLE: _whole(values).count(), FRACTION: 0}
    if not _is_text(values.dtype):
        return {WHOLE: 0, FRACTION: 0}
    pointed = _texts(values)
    pointed = pointed.filter(pointed.str.contains(".", literal=True))
    whole, dotted = (int(pointed.str.contains(form).sum()) for form in (_WHOLE, _DOTTED))
    return {WHOLE: whole, FRACTION: dotted - whole}


def drops_zeros(counts: Mapping[str, int]) -> bool:
    """Whether `12.0` is `12` in a column of texts."""
    return counts.get(WHOLE, 0) > 0 and not counts.get(FRACTION, 0)


def read_ids(values: pl.Series, *, without_zeros: bool = True) -> pl.Series:
    """Ids as texts; null where a value is none: an empty text, or a number that is not whole.

    Args:
        values: texts, numbers, categories, booleans, or nothing but nulls.
        without_zeros: whether `12.0` is `12` in a column of texts: `drops_zeros` of its forms.
    """
    if values.dtype.is_float() or values.dtype.is_decimal():
        return _whole(values)
    texts = _texts(values)
    if without_zeros and _is_text(values.dtype):
        texts = plain_whole_numbers(texts)
    return texts.set(texts == "", None)


def read_column(values: pl.Series) -> pl.Series:
    """Ids of a whole column, as its own forms say."""
    return read_ids(values, without_zeros=drops_zeros(count_forms(values)))


def plain_whole_numbers(texts: pl.Series) -> pl.Series:
    """The same texts, with `12` for `12.0`."""
    if not texts.str.contains(".", literal=True).any():
        return texts
    return texts.str.replace(_WHOLE, "$1")


def _whole(values: pl.Series) -> pl.Series:
    if values.dtype.is_decimal():
        return values.cast(pl.String).str.extract(r"^(-?[0-9]+)(?:\.0+)?$")
    rounded = values.cast(pl.Int64, strict=False)
    return rounded.set(values != values.floor(), None).cast(pl.String)


def _texts(values: pl.Series) -> pl.Series:
    return values if values.dtype == pl.String else values.cast(pl.String, strict=False)


def _is_text(dtype: pl.DataType) -> bool:
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)

"""Columns of Parquet as other tools write them, in types that polars reads.

What is met: DuckDB's UUIDs and blobs, categories of pandas and polars (dictionaries), decimals of 256 bits, half
floats, and the index that pandas keeps in a note of the file instead of a column.
"""

import json
from typing import Any

import polars as pl
import pyarrow as pa

UUID_BYTES = 16
DECIMAL_128 = 38
"""Digits of the widest decimal that polars has."""


def to_series(name: str, column: pa.ChunkedArray | pa.Array) -> pl.Series:
    """One column; bytes come as text where they are text, or UUIDs, and else as bytes."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = _storage(column)
        kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_decimal256(kind) or (pa.types.is_decimal(kind) and kind.precision > DECIMAL_128):
        column = column.cast(pa.string())
    elif pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    elif pa.types.is_fixed_size_binary(kind):
        values = pl.Series(name, column.cast(pa.binary()))
        return _uuids(values) if kind.byte_width == UUID_BYTES else _texts(values)
    series = pl.Series(name, column)
    return _texts(series) if series.dtype == pl.Binary else series


def not_text(column: pa.Array) -> dict[int, bytes]:
    """Values, by place, that are declared as text and are none, as of writers that leave Latin-1 as it is.

    Arrow takes their word for it, and polars panics at such a value where somebody looks at it.

    Raises:
        ArrowInvalid: a value within a nested one is such.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind):
        column.validate(full=True)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return {}
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        values = column.cast(kind).cast(pa.large_binary()).to_pylist()
        return {place: value for place, value in enumerate(values) if value is not None and not _is_text(value)}
    return {}


def time_zones(kind: pa.DataType) -> list[str]:
    """Of the times in a type, nested ones too.

    Raises:
        UnicodeDecodeError: one is no text, as in a file that is damaged; polars panics at such a type.
    """
    if pa.types.is_timestamp(kind):
        return [kind.tz] if kind.tz else []
    if pa.types.is_dictionary(kind):
        return time_zones(kind.value_type)
    return [zone for place in range(kind.num_fields) for zone in time_zones(kind.field(place).type)]


def range_index(metadata: dict[bytes, bytes] | None) -> dict[str, range]:
    """Named indexes of pandas that count up, which are a note in the file and no column: name -> their numbers."""
    try:
        noted: Any = json.loads((metadata or {}).get(b"pandas", b"{}"))
        found = [one for one in noted.get("index_columns", ()) if isinstance(one, dict) and one.get("kind") == "range"]
        return {one["name"]: range(one["start"], one["stop"], one["step"]) for one in found if one["name"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _storage(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    return column.storage


def _uuids(values: pl.Series) -> pl.Series:
    """Sixteen bytes as `8-4-4-4-12` digits."""
    digits = values.bin.encode("hex")
    parts = [pl.col(values.name).str.slice(at, length) for at, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return digits.to_frame().select(pl.concat_str(parts, separator="-").alias(values.name)).to_series()


def _texts(values: pl.Series) -> pl.Series:
    """Bytes as text, or as UUIDs where all of them are of that length and no text; else as they are."""
    is_uuid_long = (values.drop_nulls().bin.size() == UUID_BYTES).all()
    try:
        texts = values.cast(pl.String)
    except pl.exceptions.PolarsError:
        return _uuids(values) if is_uuid_long else values
    return _uuids(values) if is_uuid_long and texts.str.contains("\0", literal=True).any() else texts


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True

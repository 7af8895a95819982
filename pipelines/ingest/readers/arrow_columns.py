"""Columns of Parquet as other tools write them, in types that polars reads.

What is met: DuckDB's UUIDs and blobs, categories of pandas and polars (dictionaries), decimals of 256 bits, half
floats, and the index that pandas keeps in a note of the file instead of a column.
"""

import json
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from recsys_vae.native.tables import is_text

UUID_BYTES = 16
DECIMAL_128 = 38
"""Digits of the widest decimal that polars has."""


_DAY = 86_400
_FIRST, _END = -719_162 * _DAY, 2_932_897 * _DAY
"""Seconds from 1970 to the years 1 and 10000."""
_IN_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


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
        return {place: value for place, value in enumerate(values) if value is not None and not is_text(value)}
    return {}


def beyond_calendar(column: pa.Array) -> dict[int, int]:
    """Values, by place, that are declared as times and lie outside the years 1 to 9999, or outside a day, as counted.

    Python has no such times, and polars panics at some of them where they become text.

    Raises:
        ArrowInvalid: a value within a nested one is such.
    """
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_nested(column.type):
        if any(beyond_calendar(part) for part in _parts(column)):
            raise pa.ArrowInvalid("a nested value holds a time outside the years 1 to 9999")
        return {}
    limits = _limits(column.type)
    if limits is None or len(column) == column.null_count:
        return {}
    counts = column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())
    ends = pc.min_max(counts).as_py()
    if limits[0] <= ends["min"] and ends["max"] < limits[1]:
        return {}
    return {
        place: count
        for place, count in enumerate(counts.to_pylist())
        if count is not None and not limits[0] <= count < limits[1]
    }


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


def _limits(kind: pa.DataType) -> tuple[int, int] | None:
    """What a count of that type may be, from the first to before the last; None: it counts no time."""
    if pa.types.is_date(kind):
        return (_FIRST // _DAY, _END // _DAY) if kind.bit_width == 32 else (_FIRST * 1_000, _END * 1_000)
    if pa.types.is_timestamp(kind):
        return _FIRST * _IN_A_SECOND[kind.unit], _END * _IN_A_SECOND[kind.unit]
    if pa.types.is_time(kind):
        return 0, _DAY * _IN_A_SECOND[kind.unit]
    return None


def _parts(column: pa.Array) -> list[pa.Array]:
    if pa.types.is_map(column.type):
        return [column.keys, column.items]
    found = column.flatten()
    return found if isinstance(found, list) else [found]


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

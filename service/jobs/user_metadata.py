"""Metadata of a dataset's users as requests carry them: what is asked offline is what a caller would send."""

from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter, ValidationError

from recsys_vae.data.columns import USER
from recsys_vae.data.features import SEPARATOR, Schema
from recsys_vae.frames import scan_table
from service.schemas.filters import MetadataValue

Value = str | int | float | bool
METADATA_VALUE: TypeAdapter[Value] = TypeAdapter(MetadataValue)


def known_metadata(table: Path, users: pl.Series, schema: Schema | None) -> dict[str, dict[str, Value]]:
    """What a dataset knows of users, by the fields of a schema; nothing where it has no table."""
    if schema is None or not table.is_file():
        return {}
    rows = scan_table(table)
    fields = [block.name for block in schema.blocks if block.name in rows.collect_schema()]
    found = rows.select(pl.col(USER).cast(pl.String), *fields).filter(pl.col(USER).is_in(users.implode())).collect()
    return {record.pop(USER): _as_sent(record) for record in found.iter_rows(named=True)}


def _as_sent(record: dict[str, Any]) -> dict[str, Value]:
    """Values in the types of a request; what none can carry is left out on both sides."""
    written = {name: _written(value) for name, value in record.items()}
    return {name: value for name, value in written.items() if value is not None and _is_sendable(value)}


def _written(value: Any) -> Value | None:
    if isinstance(value, list):
        return SEPARATOR.join(str(one) for one in value if one is not None)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _is_sendable(value: Value) -> bool:
    try:
        METADATA_VALUE.validate_python(value)
    except ValidationError:
        return False
    return True

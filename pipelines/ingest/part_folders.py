"""Folders of parts, as Spark, DuckDB and polars write a table: `spark.parquet/event_type=view/part-0.parquet`."""

from pathlib import Path
from urllib.parse import unquote

from pipelines.ingest.formats.peek import PACKED
from recsys_vae.errors import DataError

_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark write for a partition of nulls."""


def parts_of(folder: Path) -> list[Path]:
    """All files below a folder, sorted; markers and checksums are none, whose names begin with a dot or underscore.

    Raises:
        DataError: they are of several kinds.
    """
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    kinds = {"".join(path.suffixes[-2:]) if path.suffix in PACKED else path.suffix for path in found}
    if len(kinds) > 1:
        some = ", ".join(str(path.relative_to(folder)) for path in found[:5])
        raise DataError(
            f"The folder {folder} holds files of several kinds ({some}{' ...' if len(found) > 5 else ''}): it is no "
            "table in parts. Name the files that are the log."
        )
    return found


def partition_of(path: Path) -> dict[str, str | None]:
    """Columns that the folders of a part name, the outermost first."""
    found: dict[str, str | None] = {}
    for folder in path.parents:
        name, equals, value = folder.name.partition("=")
        if not (equals and name):
            break
        found[unquote(name)] = None if value == _NO_PARTITION else unquote(value)
    return dict(reversed(found.items()))


def name_of(path: Path) -> str:
    """The name of a file, with the folders that are its partition."""
    return "/".join(path.parts[-1 - len(partition_of(path)) :])


def _is_hidden(path: Path) -> bool:
    """A name of a partition may begin with an underscore: `_kind=view`."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.parts)

"""Lake tables: Delta Lake and Apache Iceberg, whose newest version becomes Parquet files of this machine."""

import os
import re
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sources.kinds import TableKind
from recsys_vae.errors import ConfigError, DataError, UnavailableError, first_line
from recsys_vae.remote import WEB, reached, scheme_of

PACKAGES: Final = {"Delta": "deltalake", "Iceberg": "pyiceberg"}
_VERSION = re.compile(r"v?(\d+)(?:-[0-9a-f-]+)?(?:\.gz)?\.metadata\.json$")


def kind_at(address: str) -> TableKind | None:
    """What kind of table lies at an address; a glob, a file and an address of the web are none."""
    if scheme_of(address) in WEB or set("*?[") & set(address):
        return None
    with reached(address) as (files, path):
        if files.exists(f"{path.rstrip('/')}/_delta_log"):
            return "Delta"
        return "Iceberg" if files.glob(f"{path.rstrip('/')}/metadata/*.metadata.json") else None


def read_table(place: str, kind: TableKind, to: Path) -> Path:
    """Write the newest version of a table to `to`, batch by batch.

    Args:
        place: a folder here, or an address.
        kind: as `table_kind` or `kind_at` has it.
        to: a folder.

    Raises:
        ConfigError: the package that reads such tables is not installed.
        DataError: the table is damaged, or of a newer format.
        UnavailableError: the place does not answer.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", place.rstrip("/").rpartition("/")[2]) or "table"
    path = to / f"{name.removesuffix('.parquet')}.parquet"
    try:
        reader = _delta(place) if kind == "Delta" else _iceberg(place)
        with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
    except ImportError as error:
        raise ConfigError(
            f"{place} is a {kind} table, which needs a package that is not installed: pip install {PACKAGES[kind]}."
        ) from error
    except OSError as error:
        raise UnavailableError(f"{place} does not answer: {first_line(error)}") from error
    except (ConfigError, DataError, UnavailableError):
        raise
    except Exception as error:  # of deltalake, pyiceberg, their file systems
        raise DataError(f"The {kind} table {place} cannot be read: {first_line(error)}") from error
    return path


def _delta(place: str) -> Any:
    from deltalake import DeltaTable, QueryBuilder

    table = DeltaTable(place, storage_options=_storage_options(place))
    found = QueryBuilder().register("log", table).execute("SELECT * FROM log")
    return pa.RecordBatchReader.from_stream(found)


def _storage_options(place: str) -> dict[str, str] | None:
    """deltalake asks for TLS unless told otherwise; a server of one's own may have none."""
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return {"AWS_ALLOW_HTTP": "true"} if scheme_of(place) == "s3" and plain else None


def _iceberg(place: str) -> Any:
    from pyiceberg.table import StaticTable

    if scheme_of(place):
        with reached(place) as (files, path):
            found = files.glob(f"{path.rstrip('/')}/metadata/*.metadata.json")
        newest = f"{scheme_of(place)}://{_newest(found)}"
        properties = {"s3.endpoint": os.environ["AWS_ENDPOINT_URL"]} if os.environ.get("AWS_ENDPOINT_URL") else {}
    else:
        newest = Path(_newest([str(p) for p in (Path(place) / "metadata").glob("*.metadata.json")])).as_uri()
        properties = {}
    table = StaticTable.from_metadata(newest, properties)
    return table.scan().to_arrow_batch_reader()


def _newest(metadata: list[str]) -> str:
    """The metadata of the newest version, by the number that its name begins with."""

    def number(path: str) -> int:
        found = _VERSION.search(path.rpartition("/")[2])
        return int(found[1]) if found else -1

    return max(metadata, key=lambda path: (number(path), path))

"""Deliver: a Parquet file of lists to where it is to go, in the form that is wanted there, whole or not at all."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow.parquet as pq

from pipelines.recommend import REPORT
from pipelines.sinks import postgresql
from pipelines.sinks.destination import Destination, Form, text_product
from recsys_vae.atomic import atomic_file, remove_partials, write_atomically
from recsys_vae.home import home
from recsys_vae.remote import is_remote, send
from recsys_vae.storage import storing

ROWS = 200_000
"""Rows that are turned into text at a time."""


@contextmanager
def delivered(to: Destination) -> Iterator[Path]:
    """Yield the path at which lists are to be written as Parquet; they are delivered when the block is left.

    Raises:
        UnavailableError: the destination does not answer, or refuses.
    """
    if to.is_plain:
        yield to.path
        return
    home().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".lists.", dir=home(), ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "lists.parquet"
        yield path
        deliver(path, to, Path(folder))


def deliver(lists: Path, to: Destination, scratch: Path) -> None:
    """Bring a Parquet file of lists to its destination.

    Args:
        scratch: a folder for what lies between.
    """
    report = lists.with_name(f"{lists.name}.json")
    if to.table is not None:
        postgresql.replace_table(lists, to.place, to.table)
    elif is_remote(to.place):
        file = scratch / f"lists.{to.form}"
        if to.form != "parquet":
            with storing(file):
                _write(lists, file, to.form)
        send(file if to.form != "parquet" else lists, to.place)
        send(report, f"{to.place}.json")
    else:
        remove_partials(to.path)
        with atomic_file(to.path, text_product(to.form)) as temporary:
            _write(lists, temporary, to.form)
        write_atomically(to.path.with_name(f"{to.path.name}.json"), report.read_bytes(), REPORT)


def _write(lists: Path, to: Path, form: Form) -> None:
    """Parquet as text, some rows at a time."""
    with to.open("wb") as file:
        for place, batch in enumerate(pq.ParquetFile(lists).iter_batches(ROWS)):
            rows = pl.DataFrame(batch)
            text = io.BytesIO()
            if form == "csv":
                rows.write_csv(text, include_header=place == 0)
            else:
                rows.write_ndjson(text)
            file.write(text.getvalue())

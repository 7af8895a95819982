"""Datasets, as their files tell of them; the service imports nothing of what wrote them.

    RECSYS_HOME/datasets/NAME/
        summary.json            what `recsys ingest` counted
        interactions.parquet    what was kept, and `changes/` beside it
        quarantine.parquet      rows that broke the contract: their columns as text, `source`, `row`, `line`, `reason`

Whatever is missing, damaged or of another version is passed over or said, and never an error of a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recsys_vae.data.changed_tables import change_files, scan_changed
from recsys_vae.data.columns import TIMESTAMP
from recsys_vae.errors import RecsysError
from recsys_vae.frames import scan_table
from recsys_vae.home import home

SUMMARY: Final = "summary.json"
LONGEST_SUMMARY: Final = 20_000_000
MOST_ROWS: Final = 50_000_000
"""Interactions of a dataset whose days are counted; more would take the service's processors for too long."""
REASON: Final = "reason"
MOST_DAYS: Final = 100
"""Places of a chart; longer times are counted by the week, then by the month."""

Text = Annotated[str, Field(max_length=20_000)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Count(_Lenient):
    """Rows that a rule took, or that broke the contract for one reason."""

    name: Text
    rows: int


class Kept(_Lenient):
    """What is in the dataset; names as in the summary."""

    interactions: int = 0
    users: int = 0
    items: int = 0
    density: float = 0.0
    first: datetime | None = None
    last: datetime | None = None
    without_timestamp: int = 0
    dislikes: int = 0


class Summary(_Lenient):
    """What ingest counted; names as in the summary."""

    dataset: Text
    sources: tuple[Text, ...] = ()
    taken_for: tuple[Text, ...] = ()
    rules: Mapping[str, Any] = Field(default_factory=dict)
    rows_in: int
    quarantined: tuple[Count, ...] = ()
    metadata_quarantined: tuple[Count, ...] = ()
    lost: tuple[Count, ...] = ()
    kept: Kept
    notes: tuple[Text, ...] = ()

    @property
    def n_quarantined(self) -> int:
        """Rows of logs that broke the contract."""
        return sum(one.rows for one in self.quarantined)

    @property
    def n_lost(self) -> int:
        """Rows that rules took."""
        return sum(one.rows for one in self.lost)


@dataclass(frozen=True)
class Dataset:
    """A dataset's folder.

    Attributes:
        folder: of it.
        summary: what ingest counted; None where that cannot be read.
        written_at: when it did.
    """

    folder: Path
    summary: Summary | None
    written_at: datetime | None

    @property
    def name(self) -> str:
        """Of the dataset."""
        return self.folder.name


def datasets() -> list[Dataset]:
    """Those of this home, by name."""
    try:
        folders = sorted(path for path in (home() / "datasets").iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    return [_dataset(folder) for folder in folders if (folder / SUMMARY).is_file()]


def quarantine(dataset: Dataset, reason: str, n: int) -> pl.DataFrame | None:
    """Some rows that broke the contract; None where none can be read.

    Args:
        dataset: whose.
        reason: for which they did; empty for any.
        n: how many at most.
    """
    path = dataset.folder / "quarantine.parquet"
    if not path.is_file():
        return None
    try:
        rows = scan_table(path)
        if reason:
            rows = rows.filter(pl.col(REASON) == reason)
        return rows.head(n).collect()
    except (OSError, pl.exceptions.PolarsError):
        return None


def volume(dataset: Dataset) -> list[tuple[str, int]] | None:
    """Interactions by day, or by week or month where there are many days; None where they cannot be counted here."""
    files = [dataset.folder / "interactions.parquet", *change_files(dataset.folder)]
    try:
        stamps = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
        return list(_counted(dataset.folder, stamps))
    except (OSError, RecsysError, pl.exceptions.PolarsError):
        return None


@lru_cache(maxsize=32)
def _counted(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> tuple[tuple[str, int], ...]:
    """Counted once for files as they are."""
    rows = scan_changed(folder, "interactions")
    if rows is None or rows.select(pl.len()).collect().item() > MOST_ROWS:
        raise FileNotFoundError(folder)
    days = rows.select(day=pl.col(TIMESTAMP).dt.date()).drop_nulls().group_by("day").len("n").sort("day").collect()
    if days.is_empty():
        return ()
    n_days = (days["day"].max() - days["day"].min()).days + 1  # type: ignore[operator,union-attr]
    every = "1d" if n_days <= MOST_DAYS else "1w" if n_days <= 7 * MOST_DAYS else "1mo"
    filled = days.upsample("day", every="1d").fill_null(0)
    counts = filled.group_by_dynamic("day", every=every).agg(pl.col("n").sum())
    return tuple((day.isoformat(), int(n)) for day, n in counts.iter_rows())


def _dataset(folder: Path) -> Dataset:
    path, summary, written = folder / SUMMARY, None, None
    try:
        about = path.stat()
        written = datetime.fromtimestamp(about.st_mtime, UTC)
        if about.st_size <= LONGEST_SUMMARY:
            summary = Summary.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        summary = None
    return Dataset(folder, summary, written)

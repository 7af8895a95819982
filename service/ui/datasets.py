"""Datasets as their own files tell of them: what ingest counted, what it set aside, and events by day.

The files are the contract with the pipelines (docs/data.md). Another version may have written them, or a hand: what is
missing or no such thing is left out, and a file that cannot be read makes an empty place, not an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import polars as pl
from fastapi import FastAPI

from recsys_vae.data.columns import EVENT_TYPE, ITEM, POSITION, TIMESTAMP, USER, WEIGHT
from recsys_vae.frames import scan_table
from recsys_vae.home import home
from service.ui.plain_files import content_of, figure, is_at_home, is_plain, mapping, minute, sequence, text, whole

SUMMARY, TABLE, QUARANTINE = "summary.json", "interactions.parquet", "quarantine.parquet"
MOST_DATASETS: Final = 200
MOST_FIGURES: Final = 100
SAMPLES: Final = 50
"""Rows of quarantine that are shown."""
MOST_ROWS: Final = 20_000_000
"""Rows of a table that are counted by day; of a larger one the first, which are those of some of its users."""
MOST_PLACES: Final = 400
"""Of a chart; longer ranges are counted by week, or by month."""
LONG: Final = "century"
"""For times that are wrong, as a rule."""
LENGTHS: Final = {"day": 1, "week": 7, "month": 31, LONG: 36_525}
"""Days from the beginning of one that lie in the next, for all that a chart counts by."""
FIELDS: Final = (USER, ITEM, EVENT_TYPE, WEIGHT, TIMESTAMP, POSITION)
READ_ERRORS: Final = (OSError, ValueError, TypeError, pl.exceptions.PolarsError)


@dataclass(frozen=True)
class Count:
    """Rows that one rule took, or that were set aside for one reason."""

    name: str
    rows: int


@dataclass(frozen=True)
class Source:
    """A file that was read: what it was taken for, and from when its rows are; empty where that is not known."""

    name: str
    taken_for: str
    first: str
    last: str


@dataclass(frozen=True)
class Told:
    """What a dataset's summary says.

    Attributes:
        name: of the folder.
        is_read: whether there is a summary that can be read.
        figures: name and number of what is in the dataset.
        first: earliest moment of its interactions in ISO 8601; empty where not known.
        last: latest.
        rows_in: rows read.
        quarantined: rows that broke the contract, by reason.
        lost: rows that rules took, in the order of the rules.
        rules: settings of the ingest other than "do nothing".
        sources: files read.
        notes: what ingest found odd.
    """

    name: str
    is_read: bool
    figures: tuple[tuple[str, float], ...] = ()
    first: str = ""
    last: str = ""
    rows_in: int = 0
    quarantined: tuple[Count, ...] = ()
    lost: tuple[Count, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """Interactions."""
        return int(dict(self.figures).get("interactions", 0))

    @property
    def set_aside(self) -> int:
        """Rows in quarantine."""
        return sum(count.rows for count in self.quarantined)

    @property
    def taken(self) -> int:
        """Rows that rules took."""
        return sum(count.rows for count in self.lost)


@dataclass(frozen=True)
class Sample:
    """A row of quarantine, as text."""

    file: str
    line: str
    reason: str
    content: str


@dataclass(frozen=True)
class Volume:
    """Events by day, week or month.

    Attributes:
        every: `day`, `week`, `month` or `century`.
        labels: first day of each.
        counts: events of each; 0 where there were none.
        without_time: events of unknown time.
        rows: that were counted.
        is_whole: whether these are all.
    """

    every: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    without_time: int
    rows: int
    is_whole: bool


def also_show(app: FastAPI, folder: Path) -> None:
    """Have an application show a dataset, wherever it lies."""
    app.state.dataset_folder = folder


def folders(app: FastAPI) -> dict[str, Path]:
    """Folders of the datasets that are shown, by name: those of RECSYS_HOME, and one that the application is told."""
    places = sorted(path.parent for path in (home() / "datasets").glob(f"*/{SUMMARY}"))
    found = [folder for folder in places if is_at_home(folder)][:MOST_DATASETS]
    shown: Path | None = getattr(app.state, "dataset_folder", None)
    return {folder.name: folder for folder in (*found, *([shown] if shown else []))}


def told_of(folder: Path) -> Told:
    """What the summary of a dataset says."""
    name, summary = folder.name, content_of(folder / SUMMARY)
    kept = mapping(summary.get("kept"))
    figures = [(key.replace("_", " "), figure(value)) for key, value in kept.items()]
    return Told(
        name,
        is_read=bool(summary),
        figures=tuple((text(key), value) for key, value in figures if value)[:MOST_FIGURES],
        first=minute(kept.get("first")),
        last=minute(kept.get("last")),
        rows_in=whole(summary.get("rows_in")),
        quarantined=_counts(summary.get("quarantined")) + _counts(summary.get("metadata_quarantined"), "metadata: "),
        lost=_counts(summary.get("lost")),
        rules=tuple((key, text(value)) for key, value in mapping(summary.get("rules")).items() if value),
        sources=_sources(summary),
        notes=tuple(map(text, sequence(summary.get("notes"))[:20])),
    )


def _sources(summary: Mapping[str, Any]) -> tuple[Source, ...]:
    taken, times = (list(sequence(summary.get(key))) for key in ("taken_for", "times"))
    found = []
    for place, name in enumerate(sequence(summary.get("sources"))[:SAMPLES]):
        when = mapping(times[place]) if place < len(times) else {}
        what = text(taken[place]) if place < len(taken) else ""
        found.append(Source(text(name), what, minute(when.get("first")), minute(when.get("last"))))
    return tuple(found)


def samples_of(folder: Path, reason: str = "") -> list[Sample]:
    """Some rows of quarantine, of one reason where one is named."""
    try:
        if not is_plain(folder / QUARANTINE):
            return []
        table = scan_table(folder / QUARANTINE)
        names = table.collect_schema().names()
        chosen = table.filter(pl.col("reason") == reason) if reason else table
        rows = chosen.head(SAMPLES).collect()
        return [_sample(row, names) for row in rows.iter_rows(named=True)]
    except READ_ERRORS:
        return []


def _sample(row: Mapping[str, Any], names: Sequence[str]) -> Sample:
    fields = ", ".join(f"{name}={text(row[name])}" for name in FIELDS if name in names and row[name] is not None)
    line = row.get("line")
    where = f"{line:,}" if isinstance(line, int) else ""
    return Sample(text(row.get("file")), where, text(row.get("reason")), text(row.get("raw")) or fields)


def volume_of(folder: Path) -> Volume | None:
    """Events by day; None where the table cannot be read."""
    path = folder / TABLE
    if not is_plain(path):
        return None
    try:
        state = path.stat()
        return _volume(path, state.st_mtime_ns, state.st_size)
    except READ_ERRORS:
        return None


@lru_cache(maxsize=16)
def _volume(path: Path, _changed: int, _size: int) -> Volume:
    table = scan_table(path).select(TIMESTAMP)
    rows = table.select(pl.len()).collect().item()
    day = pl.col(TIMESTAMP).dt.convert_time_zone("UTC").dt.date()
    counted = table.head(MOST_ROWS).group_by(day.alias("day")).len().collect()
    known: dict[date, int] = {found: number for found, number in counted.iter_rows() if found is not None}
    every, counts = _filled(known)
    labels = tuple(found.isoformat() for found in counts)
    seen = min(rows, MOST_ROWS)
    return Volume(every, labels, tuple(counts.values()), seen - sum(known.values()), seen, rows <= MOST_ROWS)


def _filled(known: Mapping[date, int]) -> tuple[str, dict[date, int]]:
    """Counts of every day from the first to the last, or of weeks or months where these are too many."""
    if not known:
        return "day", {}
    first, last = min(known), max(known)
    days = (last - first).days + 1
    every = next((name for name, length in LENGTHS.items() if name != LONG and days <= length * MOST_PLACES), LONG)
    counts: dict[date, int] = {}
    place = _start(first, every)
    while place <= last:
        counts[place] = 0
        if (date.max - place).days < LENGTHS[every]:
            break
        place = _start(place + timedelta(LENGTHS[every]), every)
    for found, number in known.items():
        counts[_start(found, every)] += number
    return every, counts


def _start(found: date, every: str) -> date:
    if every == "week":
        return found - timedelta(min(found.weekday(), found.toordinal() - 1))
    if every == LONG:
        return date(max(1, found.year - found.year % 100), 1, 1)
    return found.replace(day=1) if every == "month" else found


def _counts(value: Any, before: str = "") -> tuple[Count, ...]:
    rows = [mapping(one) for one in sequence(value)[:100]]
    return tuple(Count(before + text(one.get("name")), whole(one.get("rows"))) for one in rows if one)

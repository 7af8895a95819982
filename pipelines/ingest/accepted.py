"""Accepted rows: what a dataset keeps of its logs, so that more can be appended without reading them again.

They are the rows that keep the contract and that no rule on single rows has taken; ids are numbers, each id's text
stands once. Nothing in it is changed later: what is appended makes further files.

DATASET/accepted/
    state.json              settings, records of the logs, counts
    rows-N.arrow            accepted rows in the order in which they were read, some at a time
    users-N.arrow           ids that appending N brought, by their numbers; likewise items and events
    dropped-N.arrow         rows that rules on single rows took while N was read, by user and item
    kept.arrow              users of each item in the interactions, by the item's number
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY, RULES, Rule
from pipelines.ingest.dropped_rows import ITEM_ENTITY, USER_ENTITY, LossCounts
from pipelines.ingest.file_records import FileRecord
from pipelines.ingest.file_times import TimeCounts
from pipelines.ingest.id_codes import IdCodes
from pipelines.ingest.ids import WHOLE, count_forms
from pipelines.ingest.log_rows import ReadLogs
from pipelines.ingest.plain_records import record_of
from pipelines.ingest.settings import Settings
from pipelines.ingest.summary import Count
from pipelines.ingest.user_partitions import OPTIONAL, write_rows
from recsys_vae.atomic import begin_flush, write_within
from recsys_vae.data import columns as c
from recsys_vae.errors import DataError

ACCEPTED = "accepted"
FORMAT = 1
ROWS_A_FILE = 1 << 20
NOBODY = -1
"""As the file of a row that is taken back."""
KINDS = ("users", "items", "events")


class RowsWriter:
    """Writes accepted rows as they are read, and knows which file they are of.

    Attributes:
        segments: pairs (file, rows), in the order of the rows.
        sizes: rows of each file that is written.
        files: these.
    """

    def __init__(self, folder: Path, first: int = 0) -> None:
        """`first`: number of the first file that is written."""
        folder.mkdir(exist_ok=True)
        self._folder, self._next = folder, first
        self._held: list[pl.DataFrame] = []
        self.segments: list[tuple[int, int]] = []
        self.sizes: list[int] = []
        self.files: list[Path] = []

    def add(self, rows: pl.DataFrame, file: int) -> None:
        """Add rows of one file, as `read_logs` gives them."""
        if rows.height:
            self.put(rows.drop("file", "row", DROPPED_BY, strict=False), file)

    def put(self, rows: pl.DataFrame, file: int) -> None:
        """Add rows of a file, without their places in it."""
        if self.segments and self.segments[-1][0] == file:
            self.segments[-1] = (file, self.segments[-1][1] + rows.height)
        else:
            self.segments.append((file, rows.height))
        self._held.append(rows)
        if sum(one.height for one in self._held) >= ROWS_A_FILE:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            rows = pl.concat(self._held, how="diagonal")
            absent = [name for name in OPTIONAL if name in rows.columns and rows[name].null_count() == rows.height]
            write_rows(rows.drop(absent), path := self._folder / f"rows-{self._next}.arrow")
            self.files.append(path)
            begin_flush(path)
            self.sizes.append(rows.height)
            self._next += 1
            self._held = []


@dataclass(frozen=True)
class State:
    """What `state.json` holds.

    Attributes:
        settings: of the first ingest, which hold for all.
        files: all logs, in the order of one ingest of all.
        segments: pairs (place among the files, rows), in the order of the rows; `NOBODY` for rows that are taken back.
        sizes: rows of each file of rows.
        parts: how often was appended, the first ingest included.
        numbers: how many users, items and events there are.
        quarantined: rows of logs that broke the contract, by reason.
        metadata_quarantined: likewise lines of metadata; they stand first in the quarantine.
        columns: columns of ours that some log had.
        whole_numbers: texts of users and of items that are whole numbers written as floats.
    """

    settings: Settings
    files: tuple[FileRecord, ...] = ()
    segments: tuple[tuple[int, int], ...] = ()
    sizes: tuple[int, ...] = ()
    parts: int = 0
    numbers: tuple[int, int, int] = (0, 0, 0)
    quarantined: tuple[Count, ...] = ()
    metadata_quarantined: tuple[Count, ...] = ()
    columns: tuple[str, ...] = ()
    whole_numbers: int = 0
    format: int = FORMAT


@dataclass
class Accepted:
    """The accepted rows of one dataset."""

    folder: Path
    state: State = field(default_factory=lambda: State(Settings()))
    _texts: dict[tuple[str, int], pl.Series] = field(default_factory=dict)

    @classmethod
    def begin(cls, folder: Path, settings: Settings, metadata_quarantined: tuple[Count, ...]) -> "Accepted":
        """Of a dataset that is being made."""
        return cls(folder, State(settings, metadata_quarantined=metadata_quarantined))

    @classmethod
    def open(cls, folder: Path) -> "Accepted":
        """Of a dataset that is there.

        Raises:
            DataError: it is unreadable.
        """
        try:
            state = record_of(State, (folder / "state.json").read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder / 'state.json'} cannot be read: {error}. Ingest all logs anew, with --overwrite."
            ) from error
        if state.format != FORMAT:
            raise DataError(f"{folder} was written by a later version. Append with that, or ingest all logs anew.")
        return cls(folder, state)

    def add(
        self, read: ReadLogs, rows: RowsWriter, records: Sequence[FileRecord], quarantined: Sequence[Count]
    ) -> None:
        """Add what was read, in the first ingest: its numbers are ours."""
        rows.flush()
        texts = (read.users.texts(), read.items.texts(), read.events.texts())
        ids = zip((read.users, read.items), texts, strict=False)
        self.write_texts(texts)
        self.write_dropped(dropped_table(read.lost))
        self.write(
            replace(
                self.state,
                files=tuple(records),
                segments=tuple(rows.segments),
                sizes=tuple(rows.sizes),
                parts=1,
                numbers=tuple(map(len, texts)),  # type: ignore[arg-type]
                quarantined=tuple(quarantined),
                columns=tuple(sorted(read.columns)),
                whole_numbers=sum(0 if known.are_numbers else whole_numbers([some]) for known, some in ids),
            )
        )

    def write(self, state: State) -> None:
        """Write the state."""
        self.state = state
        write_within(self.folder / "state.json", json.dumps(asdict(state), default=_plain, ensure_ascii=False))

    def write_texts(self, texts: Sequence[pl.Series]) -> None:
        """Write ids that have come, of users, items and events."""
        for kind, some in zip(KINDS, texts, strict=True):
            pl.DataFrame({"id": some}, schema={"id": pl.String}).write_ipc(self._of_part(kind, self.state.parts))
            begin_flush(self._of_part(kind, self.state.parts))

    def write_dropped(self, dropped: pl.DataFrame) -> None:
        """Write what rules on single rows took."""
        dropped.write_ipc(self._of_part("dropped", self.state.parts))

    def compact(self) -> None:
        """Make few files of many small ones, which are new: those of before may have other names elsewhere."""
        state = self.state
        texts, dropped = [self.texts(kind) for kind in KINDS], self._dropped()
        rows = RowsWriter(self.folder, first=len(state.sizes))
        for number in range(len(state.sizes)):
            rows.put(self.rows(number), NOBODY)
        rows.flush()
        for part in range(state.parts):
            for kind in (*KINDS, "dropped"):
                self._of_part(kind, part).unlink()
        for number in range(len(state.sizes)):
            (self.folder / f"rows-{number}.arrow").unlink()
        for number in range(len(rows.sizes)):
            (self.folder / f"rows-{len(state.sizes) + number}.arrow").rename(self.folder / f"rows-{number}.arrow")
        self.state = replace(state, parts=0)
        self.write_texts(texts)
        self.write_dropped(dropped)
        self.write(replace(state, parts=1, sizes=tuple(rows.sizes)))

    def texts(self, kind: str) -> pl.Series:
        """Texts of users, items or events, by number."""
        key = kind, self.state.parts
        if key not in self._texts:
            parts = [pl.scan_ipc(self._of_part(kind, part), glob=False) for part in range(self.state.parts)]
            self._texts[key] = pl.concat(parts).collect()["id"]
        return self._texts[key]

    def know_texts(self, before: "Accepted", new: Sequence[pl.Series]) -> None:
        """Take texts that are known instead of reading them: those of before, and what has come."""
        for kind, some in zip(KINDS, new, strict=True):
            self._texts[kind, self.state.parts + 1] = pl.concat([before.texts(kind), some])

    def read_texts_again(self) -> None:
        """Their files have been written anew."""
        self._texts.clear()

    def rows(self, file: int) -> pl.DataFrame:
        """Some of the rows, as they were read."""
        return pl.scan_ipc(self.folder / f"rows-{file}.arrow", glob=False).collect()

    def in_order(self) -> Iterator[pl.DataFrame]:
        """All rows that stand, in the order of one ingest of all logs."""
        held: tuple[int, pl.DataFrame] | None = None
        for number, start, rows, _ in self._slices():
            if held is None or held[0] != number:
                held = (number, self.rows(number))
            yield held[1].slice(start, rows)

    def times_of(self, place: int) -> pl.Series:
        """Times of the rows of one log, in its order."""
        frames = [self.rows(number).slice(start, rows) for number, start, rows, log in self._slices() if log == place]
        times = [pl.Series([None] * one.height, dtype=_TIME) if c.TIMESTAMP not in one else one[c.TIMESTAMP]
                 for one in frames]  # fmt: skip
        return pl.concat([one.cast(_TIME) for one in times]) if times else pl.Series([], dtype=_TIME)

    def of_users(self, is_wanted: np.ndarray, new_from: int) -> pl.DataFrame:
        """Rows of some users, in the order of one ingest of all logs; `is_new` where their file is `new_from` or later.

        Args:
            is_wanted: by number of the user.
        """
        frames: list[pl.DataFrame] = []
        wanted = pl.Series(is_wanted)
        held: tuple[int, pl.DataFrame] | None = None
        for number, start, rows, _ in self._slices():
            if held is None or held[0] != number:
                held = (number, self.rows(number))
            some = held[1].slice(start, rows)
            frames.append(some.filter(wanted.gather(some[c.USER])).with_columns(is_new=pl.lit(number >= new_from)))
        return pl.concat(frames, how="diagonal")

    def kept(self, items: int) -> np.ndarray:
        """How many users each of so many items has among the interactions, by its number, int64."""
        rows = pl.scan_ipc(self.folder / "kept.arrow", glob=False).collect()["rows"].to_numpy()
        return np.concatenate((rows, np.zeros(items - len(rows)))).astype(np.int64)

    def read_again(self) -> ReadLogs:
        """What was read of all logs, as if it had been read now."""
        state = self.state
        prefixed = {name for _, (name, _) in state.settings.said.prefixes}
        return ReadLogs(
            users=IdCodes.of(self.texts("users"), have_prefixes=c.USER in prefixed),
            items=IdCodes.of(self.texts("items"), have_prefixes=c.ITEM in prefixed),
            events=IdCodes.of(self.texts("events"), have_prefixes=False),
            lost=self._lost(),
            rows_in=sum(one.records for one in state.files),
            lines=sum(one.lines for one in state.files),
            lines_apart=sum(one.lines_apart for one in state.files),
            taken_for=[one.taken_for for one in state.files],
            times=[TimeCounts.of(one.times) for one in state.files],
            columns=set(state.columns),
        )

    def _lost(self) -> LossCounts:
        found = LossCounts()
        sizes = {USER_ENTITY: self.state.numbers[0], ITEM_ENTITY: self.state.numbers[1]}
        for (entity, rule), rows in self._dropped().group_by("entity", "rule"):
            counts = found.counts.setdefault((str(entity), Rule(rule)), np.zeros(sizes[str(entity)], np.uint32))
            np.add.at(counts, rows["code"].to_numpy(), rows["rows"].to_numpy())
        return found

    def _dropped(self) -> pl.DataFrame:
        parts = [pl.scan_ipc(self._of_part("dropped", part), glob=False) for part in range(self.state.parts)]
        return pl.concat(part.cast(_DROPPED) for part in parts).collect()

    def _slices(self) -> list[tuple[int, int, int, int]]:
        """Runs of rows that stand: file of rows, first row in it, how many, place of the log; in the logs' order."""
        ends = np.cumsum(self.state.sizes)
        found: list[tuple[int, int, int, int]] = []
        at = 0
        for log, rows in self.state.segments:
            stop = at + rows
            while at < stop:
                number = int(np.searchsorted(ends, at, side="right"))
                some = min(stop, int(ends[number])) - at
                found.append((log, number, at - int(ends[number] - self.state.sizes[number]), some))
                at += some
        found.sort(key=lambda one: one[0])
        return [(number, start, rows, log) for log, number, start, rows in found if log != NOBODY]

    def _of_part(self, kind: str, part: int) -> Path:
        return self.folder / f"{kind}-{part}.arrow"


def whole_numbers(texts: Sequence[pl.Series]) -> int:
    """How many ids are whole numbers written as floats: all ids together say whether these are numbers."""
    return sum(count_forms(some)[WHOLE] for some in texts)


def write_kept(folder: Path, item_rows: np.ndarray) -> None:
    """Write how many users each item has among the interactions, by the item's number."""
    pl.DataFrame({"rows": item_rows}).write_ipc(folder / "kept.arrow")


def dropped_table(lost: LossCounts) -> pl.DataFrame:
    """Losses by number: `entity`, `rule`, `code`, `rows`."""
    frames = [
        pl.DataFrame(
            {"entity": entity, "rule": rule.value, "code": there.astype(np.uint32), "rows": counts[there]},
            schema=_DROPPED,
        )
        for (entity, rule), counts in lost.counts.items()
        if len(there := np.flatnonzero(counts))
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=_DROPPED)


_TIME = OPTIONAL[c.TIMESTAMP]
_DROPPED = pl.Schema(
    {"entity": pl.Enum([USER_ENTITY, ITEM_ENTITY]), "rule": RULES, "code": pl.UInt32(), "rows": pl.UInt32()}
)
"""Types of the table of losses; where an earlier version wrote it, there were texts."""


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

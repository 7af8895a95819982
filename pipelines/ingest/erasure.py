"""Erasure: a dataset's accepted rows, quarantine and metadata without the users who were erased from it.

What is left is what an ingest of logs without these rows would have accepted. How many they were is counted, by the
rule `erased`, and not of whom.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.accepted import KINDS, NOBODY, Accepted, whole_numbers
from pipelines.ingest.cleaning import Rule
from pipelines.ingest.dropped_rows import USER_ENTITY
from pipelines.ingest.id_codes import END_OF_PREFIX, IdCodes
from pipelines.ingest.log_rows import RAW
from pipelines.ingest.summary import Count
from recsys_vae.data import columns as c
from recsys_vae.data.erased_users import NEVER, ErasedUsers
from recsys_vae.frames import read_table

_BETWEEN = re.compile(r"[\s,;|\"'{}\[\]]+|::|:")
"""What stands between the fields of a line that could not be cut."""


def erased_rows(dataset: DatasetDir) -> tuple[Count, ...]:
    """Rows of its logs that were taken because their users were erased; empty where there are none."""
    rows = ErasedUsers.read(dataset.path).rows
    return (Count(Rule.ERASED.value, rows),) if rows else ()


def names_anybody(erased: ErasedUsers, texts: pl.Series, quarantine: pl.DataFrame) -> bool:
    """Whether ids as they were read, or rows in quarantine, are of somebody who was erased."""
    if not erased.moments:
        return False
    forms = (form for text in texts for form in _forms(text.replace(END_OF_PREFIX, "")))
    return bool((erased.of(forms) != NEVER).any()) or bool(_of_erased(quarantine, erased, _prefixes(texts)).any())


@dataclass(frozen=True)
class Erasure:
    """Takes erased users out of a dataset that is being made, before its tables are.

    Attributes:
        dataset: that is being made; its files may be links to those of another one, which are left as they are.
        accepted: its accepted rows.
        erased: who was.
    """

    dataset: DatasetDir
    accepted: Accepted
    erased: ErasedUsers

    def run(self) -> int:
        """Take them out, write down how many rows that were, and say how many rows of the users' metadata went."""
        texts = self.accepted.texts("users")
        moments = self.erased.of(_ids(texts, self.accepted.state.settings.said.prefixes))
        rows = self._thin_quarantine(_prefixes(texts))
        kept = moments == NEVER
        if not kept.all():
            rows += self._thin_rows(moments, kept)
        self.erased_now(rows).write(self.dataset.path)
        return self._thin_metadata(texts.filter(pl.Series(kept)))

    def erased_now(self, rows: int) -> ErasedUsers:
        """With so many more rows that were taken."""
        return replace(self.erased, rows=self.erased.rows + rows)

    def _thin_rows(self, moments: np.ndarray, kept: np.ndarray) -> int:
        """Write accepted rows anew; `kept` says of each user's number whether it stays, and is updated."""
        state, folder = self.accepted.state, self.accepted.folder
        stands = [_stands(self.accepted.rows(file), moments) for file in range(len(state.sizes))]
        for file, mask in enumerate(stands):
            kept[self.accepted.rows(file)[c.USER].to_numpy()[mask]] = True
        numbers = np.cumsum(kept, dtype=np.int64).astype(np.uint32) - np.uint32(1)
        for file, mask in enumerate(stands):
            rows = self.accepted.rows(file).filter(pl.Series(mask))
            users = pl.Series(c.USER, numbers[rows[c.USER].to_numpy()], dtype=pl.UInt32)
            without_rows(rows.with_columns(users), folder / f"rows-{file}.arrow")
        dropped = self._thin_dropped(moments, numbers)
        sizes = self._thin_texts(kept)
        is_left = np.concatenate(stands) if stands else np.empty(0, bool)
        segments, gone = _thinned(state.segments, is_left)
        texts = [self.accepted.texts(kind) for kind in KINDS[:2]]
        self.accepted.write(
            replace(
                self.accepted.state,
                segments=segments,
                sizes=tuple(int(mask.sum()) for mask in stands),
                numbers=(sizes, *state.numbers[1:]),
                whole_numbers=whole_numbers(texts),
                # The last line of a log that goes on can be taken back only where it is known what it was.
                files=tuple(
                    replace(one, last_was_accepted=one.last_was_accepted and not gone[place])
                    for place, one in enumerate(state.files)
                ),
            )
        )
        return sum(gone.values()) + dropped

    def _thin_texts(self, kept: np.ndarray) -> int:
        start = 0
        for part in range(self.accepted.state.parts):
            path = self.accepted.folder / f"users-{part}.arrow"
            table = pl.scan_ipc(path, glob=False).collect()
            without_rows(table.filter(pl.Series(kept[start : start + table.height])), path)
            start += table.height
        self.accepted.read_texts_again()
        return int(kept.sum())

    def _thin_dropped(self, moments: np.ndarray, numbers: np.ndarray) -> int:
        """Rows that rules on single rows took of the erased count as theirs no longer; of items they still do."""
        rows = 0
        for part in range(self.accepted.state.parts):
            path = self.accepted.folder / f"dropped-{part}.arrow"
            table = pl.scan_ipc(path, glob=False).collect()
            codes, is_user = table["code"].to_numpy(), (table["entity"] == USER_ENTITY).to_numpy()
            erased = np.zeros(table.height, bool)
            erased[is_user] = moments[codes[is_user]] != NEVER
            rows += int(table.filter(pl.Series(erased))["rows"].sum())
            renumbered = np.array(codes)
            renumbered[is_user & ~erased] = numbers[codes[is_user & ~erased]]
            without_rows(table.with_columns(pl.Series("code", renumbered)).filter(pl.Series(~erased)), path)
        return rows

    def _thin_quarantine(self, prefixes: Sequence[str]) -> int:
        state = self.accepted.state
        metadata, logs, rows = quarantined_of(self.dataset.quarantine_path, self.erased, state, prefixes)
        self.accepted.write(replace(state, metadata_quarantined=metadata, quarantined=logs))
        return rows

    def _thin_metadata(self, present: pl.Series) -> int:
        """Metadata of the erased go, but of those who have come back since."""
        path = self.dataset.users_path
        if not path.is_file():
            return 0
        table = read_table(path)
        gone = self.erased.of(table[c.USER]) != NEVER
        if gone.any():
            back = set(_ids(present, self.accepted.state.settings.said.prefixes))
            gone &= ~np.fromiter((user in back for user in table[c.USER]), bool)
            without_rows(table.filter(pl.Series(~gone)), path)
        return int(gone.sum())


class Quarantined(Protocol):
    """Who knows what is in quarantine, by reason."""

    @property
    def quarantined(self) -> tuple[Count, ...]:
        """Rows of logs."""

    @property
    def metadata_quarantined(self) -> tuple[Count, ...]:
        """Lines of metadata, which stand first."""


def quarantined_of(
    path: Path, erased: ErasedUsers, counted: Quarantined, prefixes: Sequence[str] = ("",)
) -> tuple[tuple[Count, ...], tuple[Count, ...], int]:
    """Write the quarantine without the erased.

    Args:
        counted: what was in it.
        prefixes: that logs' ids may have by now.

    Returns:
        What is left of metadata and of logs, by reason; and how many rows of logs went.
    """
    table = read_table(path)
    gone = _of_erased(table, erased, prefixes)
    head = sum(one.rows for one in counted.metadata_quarantined)
    if gone.any():
        without_rows(table.filter(pl.Series(~gone)), path)
    reasons = table[c.REASON]
    metadata = _less(counted.metadata_quarantined, reasons[:head].filter(pl.Series(gone[:head])))
    logs = _less(counted.quarantined, reasons[head:].filter(pl.Series(gone[head:])))
    return metadata, logs, int(gone[head:].sum())


def _stands(rows: pl.DataFrame, moments: np.ndarray) -> np.ndarray:
    """Which rows are of nobody who was erased, or of after that."""
    moment = moments[rows[c.USER].to_numpy()]
    if c.TIMESTAMP not in rows.columns:
        return np.asarray(moment == NEVER)
    times = rows[c.TIMESTAMP].dt.epoch("us").fill_null(NEVER).to_numpy()
    return np.asarray((moment == NEVER) | (times > moment))


def _thinned(segments: Sequence[tuple[int, int]], left: np.ndarray) -> tuple[tuple[tuple[int, int], ...], Counter[int]]:
    """Segments of the rows that are left, and how many have gone of each log."""
    found, gone, at = [], Counter[int](), 0
    for log, rows in segments:
        stays = int(left[at : at + rows].sum())
        found.append((log, stays))
        if log != NOBODY:
            gone[log] += rows - stays
        at += rows
    return tuple(found), gone


def _ids(texts: pl.Series, prefixes: object) -> pl.Series:
    """The ids that texts stand for, once all are known."""
    if not len(texts):
        return texts
    ids, places = IdCodes.of(texts, have_prefixes=bool(prefixes)).settle()
    return ids.gather(places)


def _prefixes(texts: pl.Series) -> tuple[str, ...]:
    found = texts.str.extract(f"^([^{END_OF_PREFIX}]*){END_OF_PREFIX}").drop_nulls().unique()
    return ("", *found)


def _forms(text: str) -> Iterator[str]:
    """An id, and the whole number that it may be once all are known."""
    yield text
    if text.endswith(".0"):
        yield text[:-2]


def _of_erased(quarantine: pl.DataFrame, erased: ErasedUsers, prefixes: Sequence[str]) -> np.ndarray:
    """Which rows in quarantine name somebody who was erased, as their user or anywhere in a line that was not cut."""

    def names(text: str | None) -> bool:
        told = [] if not text else [prefix + form for form in _forms(text.strip()) for prefix in prefixes]
        return bool((erased.of(told) != NEVER).any())

    if not erased.moments:
        return np.zeros(quarantine.height, bool)
    users = np.fromiter(map(names, quarantine[c.USER]), bool, quarantine.height)
    lines = (any(map(names, _BETWEEN.split(line))) if line else False for line in quarantine[RAW])
    return np.asarray(users | np.fromiter(lines, bool, quarantine.height))


def _less(counted: Sequence[Count], reasons: pl.Series) -> tuple[Count, ...]:
    left = Counter({one.name: one.rows for one in counted})
    left.subtract(Counter(reasons))
    return tuple(Count(name, left[name]) for name in sorted(left) if left[name])


def _compact(table: pl.DataFrame) -> pl.DataFrame:
    """The same, whose texts are copied: Polars keeps the bytes of rows that were filtered out, and IPC writes them."""
    return table.with_columns(
        pl.Series(column.name, column.to_arrow(compat_level=pl.CompatLevel.oldest()))
        for column in table.iter_columns()
        if column.dtype == pl.String
    )


def without_rows(table: pl.DataFrame, path: Path) -> None:
    """Write what is left of a table in the place of another one, whose file may be that of another dataset too."""
    new = path.with_name(f"new-{path.name}")
    if path.suffix == ".parquet":
        table.write_parquet(new)
    else:
        _compact(table).write_ipc(new)
    new.replace(path)

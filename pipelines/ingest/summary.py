"""IngestSummary: what ingest counted, as one file and one readable table."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.ingest.cleaning import CleaningRules, Rule
from pipelines.ingest.file_times import FileTimes
from pipelines.ingest.plain_records import record_of
from recsys_vae.atomic import write_within
from recsys_vae.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 20
"""Sources that are named at most."""


@dataclass(frozen=True)
class Count:
    """Rows that one rule took, or that broke the contract for one reason."""

    name: str
    rows: int


@dataclass(frozen=True)
class Kept:
    """What is in a clean dataset.

    Attributes:
        interactions: rows, one a (user, item).
        users: with at least one interaction.
        items: with at least one user.
        density: share of the (user, item) cells that are filled, 0 to 1.
        given_test: interactions of the published test part.
        first: earliest timestamp; None where there is none.
        last: latest timestamp.
        without_timestamp: interactions of unknown time.
        without_position: interactions of unknown order.
        users_against_time: users whose positions contradict their times.
        dislikes: pairs of a user and an item that the user dislikes; no interactions.
    """

    interactions: int
    users: int
    items: int
    density: float
    given_test: int = 0
    first: datetime | None = None
    last: datetime | None = None
    without_timestamp: int = 0
    without_position: int = 0
    users_against_time: int = 0
    dislikes: int = 0


@dataclass(frozen=True)
class IngestSummary:
    """What became of a log.

    Attributes:
        dataset: name of the dataset.
        sources: the log files read, in order.
        rules: what was kept.
        rows_in: rows read.
        quarantined: rows that broke the contract, by reason.
        lost: rows taken, by rule, in the order of the rules.
        kept: what is left.
        user_rows: rows of users.parquet; None where there is none.
        item_rows: rows of items.parquet.
        users_described: users with interactions that users.parquet names.
        items_described: items with interactions that items.parquet names.
        unreadable_numbers: of each field declared as a number, the values that are none.
        core_rounds: passes that the k-core took.
        lines: lines of the files read; of a Parquet file its rows, of a JSON array its values.
        lines_apart: of them those that are no row of their own: headers, blank ones, those that go on with a row.
            `rows_in` is `lines` less these.
        metadata_quarantined: lines of metadata files that could not be read, by reason.
        taken_for: of each source what it was taken for.
        times: of each source which times it has; None where it has none.
        notes: what is worth knowing of the log, in words.
        duplicates: rows lost as duplicates by their event type, where there are any.
        warnings: what may not be what was meant, in words.
    """

    dataset: str
    sources: tuple[str, ...]
    rules: CleaningRules
    rows_in: int
    quarantined: tuple[Count, ...]
    lost: tuple[Count, ...]
    kept: Kept
    user_rows: int | None = None
    item_rows: int | None = None
    users_described: int | None = None
    items_described: int | None = None
    unreadable_numbers: tuple[Count, ...] = ()
    core_rounds: int = 0
    lines: int = 0
    lines_apart: int = 0
    metadata_quarantined: tuple[Count, ...] = ()
    taken_for: tuple[str, ...] = ()
    times: tuple[FileTimes | None, ...] = ()
    notes: tuple[str, ...] = ()
    duplicates: tuple[Count, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "IngestSummary":
        """Read what `write` wrote.

        Raises:
            DataError: missing, or not such a file.
        """
        try:
            return record_of(IngestSummary, path.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is no summary of an ingest: {error}. Run `recsys ingest` again.") from error

    def write(self, path: Path) -> None:
        """Write as JSON into a directory that is being made."""
        write_within(path, json.dumps(asdict(self), indent=2, default=_plain, ensure_ascii=False) + "\n")

    def table(self) -> "Table":
        """For people."""
        from rich.table import Table

        table = Table(title=f"Dataset {self.dataset}", show_header=False, title_justify="left")
        table.add_column("what")
        table.add_column("count", justify="right")
        table.add_row("rows in", f"{self.rows_in:,}")
        for count in self.quarantined:
            table.add_row(f"  quarantined: {count.name}", f"{count.rows:,}", style="yellow")
        for count in self.metadata_quarantined:
            table.add_row(f"  quarantined of metadata: {count.name}", f"{count.rows:,}", style="yellow")
        for count in self.lost:
            table.add_row(f"  lost to {count.name}", f"{count.rows:,}", style="dim")
            if count.name == Rule.DUPLICATE:
                for kind in self.duplicates:
                    table.add_row(f"    of them {kind.name}", f"{kind.rows:,}", style="dim")
        table.add_section()
        for name, value in self._facts():
            table.add_row(name, value)
        return table

    def said(self) -> list[str]:
        """For people, a line each: what every source was taken for, its times, and what is odd."""
        files = list(zip(self.sources, self.taken_for, self.times, strict=False))
        lines = [
            f"{source}: {taken_for}" + (f"; times from {times}" if times else "")
            for source, taken_for, times in files[:SHOWN]
        ]
        if len(files) > SHOWN:
            lines.append(f"... and {len(files) - SHOWN:,} more files; summary.json has them all")
        told = [f"note: {note}" for note in self.notes]
        return lines + told + [f"warning: {warning}" for warning in self.warnings]

    def _facts(self) -> list[tuple[str, str]]:
        kept = self.kept
        facts = [
            ("interactions", f"{kept.interactions:,}"),
            ("users", f"{kept.users:,}"),
            ("items", f"{kept.items:,}"),
            ("density", f"{kept.density:.4%}"),
            ("interactions a user", f"{kept.interactions / max(kept.users, 1):.1f}"),
        ]
        if kept.first and kept.last:
            facts.append(("time", f"{kept.first.date()} to {kept.last.date()}"))
        counts = {
            "dislikes": kept.dislikes,
            "without timestamp": kept.without_timestamp,
            "without position": kept.without_position,
            "published test part": kept.given_test,
            "k-core passes": self.core_rounds,
            "metadata: users": self.user_rows or 0,
            "metadata: items": self.item_rows or 0,
        }
        return facts + [(name, f"{count:,}") for name, count in counts.items() if count]


def _plain(value: Any) -> str:
    """A moment as ISO 8601, in UTC."""
    return str(value.astimezone(UTC).isoformat().replace("+00:00", "Z"))

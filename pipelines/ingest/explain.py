"""Why a user or an item is missing from a dataset, or has less than its log had."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import CleaningRules, Rule
from pipelines.ingest.summary import Count, IngestSummary
from recsys_vae.data import columns as c
from recsys_vae.data.changed_tables import change_files
from recsys_vae.frames import scan_table


class Entity(StrEnum):
    """What is asked about."""

    USER = "user"
    ITEM = "item"

    @property
    def column(self) -> str:
        """The column that holds its ids."""
        return c.USER if self is Entity.USER else c.ITEM


@dataclass(frozen=True)
class Explanation:
    """What became of the rows of one user or item.

    Attributes:
        entity: `user` or `item`.
        id: as in the log.
        dataset: name of the dataset.
        kept: interactions in the dataset.
        lost: rows that each rule took; the name says the rule in words.
        quarantined: rows that broke the contract, by reason.
        has_metadata: whether the metadata table names it; None where there is no such table.
    """

    entity: Entity
    id: str
    dataset: str
    kept: int
    lost: tuple[Count, ...]
    quarantined: tuple[Count, ...]
    has_metadata: bool | None

    @property
    def rows_in(self) -> int:
        """Rows of the logs that name it."""
        return self.kept + sum(count.rows for count in self.lost + self.quarantined)

    def lines(self) -> list[str]:
        """For people, the verdict first."""
        verdict = f"with {self.kept:,} interactions" if self.kept else "missing"
        lines = [f"{self.entity.capitalize()} {self.id!r} in dataset {self.dataset!r}: {verdict}."]
        lines.append(
            f"{self.rows_in:,} {'row names' if self.rows_in == 1 else 'rows name'} it in the logs."
            if self.rows_in
            else "No row of the logs names it."
        )
        lines += [f"  {count.rows:,} lost: {count.name}" for count in self.lost]
        lines += [f"  {count.rows:,} in quarantine: {count.name}" for count in self.quarantined]
        if self.has_metadata is not None:
            lines.append(f"The metadata table {'has' if self.has_metadata else 'does not have'} it.")
        return lines


def explain(dataset: DatasetDir, entity: Entity, wanted: str) -> Explanation:
    """Look one id up in every table that ingest wrote.

    Raises:
        DataError: the dataset has no readable summary.
    """
    rules = IngestSummary.read(dataset.summary_path).rules
    losses = [scan_table(path) for path in (dataset.losses_path, *change_files(dataset.path, "losses"))]
    of_one = [
        table.filter(entity=entity.value, id=wanted).select("rule", pl.col("rows").cast(pl.Int64)) for table in losses
    ]
    rows_by_rule = dict(pl.concat(of_one).group_by("rule").sum().filter(pl.col("rows") > 0).collect().iter_rows())
    quarantine = scan_table(dataset.quarantine_path).filter(pl.col(entity.column) == wanted)
    reasons = quarantine.group_by(c.REASON).len().sort(c.REASON).collect()
    return Explanation(
        entity=entity,
        id=wanted,
        dataset=dataset.name,
        kept=_rows_of(dataset.interactions(), entity, wanted),
        lost=tuple(Count(IN_WORDS[rule](rules), rows_by_rule[rule]) for rule in Rule if rule in rows_by_rule),
        quarantined=tuple(Count(*row) for row in reasons.iter_rows()),
        has_metadata=_has_metadata(dataset, entity, wanted),
    )


def _has_metadata(dataset: DatasetDir, entity: Entity, wanted: str) -> bool | None:
    path = dataset.users_path if entity is Entity.USER else dataset.items_path
    return _rows_of(scan_table(path), entity, wanted) > 0 if path.is_file() else None


def _rows_of(table: pl.LazyFrame, entity: Entity, wanted: str) -> int:
    found = table.filter(pl.col(entity.column) == wanted)
    return int(found.select(pl.len()).collect(engine="streaming").item())


IN_WORDS: dict[str, Callable[[CleaningRules], str]] = {
    Rule.ERASED: lambda _: "of a user who was erased (recsys erase)",
    Rule.MIN_RATING: lambda rules: f"weight below {rules.min_rating:g} (--min-rating)",
    Rule.NO_TIMESTAMP: lambda _: "no timestamp, so inside no time window (--since, --until)",
    Rule.SINCE: lambda rules: f"before {rules.since} (--since)",
    Rule.UNTIL: lambda rules: f"not before {rules.until} (--until)",
    Rule.MAX_EVENTS_PER_USER: lambda rules: (
        f"a user with more than {rules.max_events_per_user} rows (--max-events-per-user)"
    ),
    Rule.RETURN: lambda _: "a return, which takes back an earlier purchase (--returns)",
    Rule.RETURNED: lambda _: "a purchase that was returned (--returns)",
    Rule.DISLIKE: lambda _: "against an item, kept as a dislike (--dislike, --dislike-below)",
    Rule.LIKED_LATER: lambda _: "against an item that the user liked later (--dislike, --dislike-below)",
    Rule.DISLIKED_LATER: lambda _: "for an item that the user disliked later (--dislike, --dislike-below)",
    Rule.DUPLICATE: lambda rules: f"the same user and item again (--keep {rules.keep})",
    Rule.MIN_USER: lambda rules: f"a user with fewer than {rules.min_user} items left (--min-user)",
    Rule.MIN_ITEM: lambda rules: f"an item with fewer than {rules.min_item} users left (--min-item)",
}

"""Profile: what is compared of a dataset; a few hundred kilobytes of JSON at most, in which no user is named."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl

from pipelines.checks.sketch import Sketch
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import Rule
from pipelines.ingest.summary import IngestSummary
from recsys_vae.atomic import write_atomically
from recsys_vae.data import columns as c
from recsys_vae.errors import DataError

RECENT_DAYS = 7
"""Days up to the latest event whose volume and popularity are compared."""
GAP_DAYS = 28
"""Days up to the latest event in which a day without events is a gap."""
TOP_ITEMS = 1000
"""Items whose share is compared one by one; all others are one."""
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Greatest length of a history in each class but the last."""


@dataclass(frozen=True)
class Profile:
    """What is compared of a dataset.

    Attributes:
        dataset: its name.
        rows_in: rows of its logs.
        quarantined: of them those that broke the contract.
        duplicates: of the others those of a user and item that occur again.
        interactions: in it.
        users: with interactions.
        items: with interactions.
        first: time of the earliest interaction; None where no time is known.
        last: of the latest.
        future: interactions later than now.
        recent: interactions of the last `RECENT_DAYS`, or all where no time is known.
        popular: the most frequent items among these, with their number.
        gaps: days without an event among the last `GAP_DAYS`.
        lengths: users by the length of their history, in the classes of `LENGTHS`.
        schema: type of each column that has values: of interactions, `users.NAME` and `items.NAME`.
        event_types: that occur.
        user_sample: of ids.
        item_sample: likewise.
    """

    dataset: str
    rows_in: int
    quarantined: int
    duplicates: int
    interactions: int
    users: int
    items: int
    first: datetime | None = None
    last: datetime | None = None
    future: int = 0
    recent: int = 0
    popular: Mapping[str, int] = field(default_factory=dict)
    gaps: tuple[date, ...] = ()
    lengths: tuple[int, ...] = (0,) * (len(LENGTHS) + 1)
    schema: Mapping[str, str] = field(default_factory=dict)
    event_types: tuple[str, ...] = ()
    user_sample: Sketch = field(default_factory=Sketch)
    item_sample: Sketch = field(default_factory=Sketch)

    @classmethod
    def of(cls, dataset: DatasetDir, now: datetime | None = None) -> "Profile":
        """Look at a dataset.

        Args:
            now: what is later lies in the future; the clock's time when None.

        Raises:
            DataError: it has no readable summary.
        """
        summary = IngestSummary.read(dataset.summary_path)
        rows = dataset.interactions()
        by_user, by_item = (_counts(rows, name) for name in (c.USER, c.ITEM))
        first, last = summary.kept.first, summary.kept.last
        time = pl.col(c.TIMESTAMP)
        recent = rows if last is None else rows.filter(time > last - timedelta(days=RECENT_DAYS))
        popular = _counts(recent, c.ITEM).sort("len", c.ITEM, descending=[True, False])
        lost = {count.name: count.rows for count in summary.lost}
        kinds = rows.select(pl.col(c.EVENT_TYPE).drop_nulls().unique().sort()).collect()[c.EVENT_TYPE]
        return cls(
            dataset=dataset.name,
            rows_in=summary.rows_in,
            quarantined=sum(count.rows for count in summary.quarantined),
            duplicates=lost.get(Rule.DUPLICATE.value, 0),
            interactions=summary.kept.interactions,
            users=by_user.height,
            items=by_item.height,
            first=first,
            last=last,
            future=int(rows.select((time > (now or datetime.now(UTC))).sum()).collect().item()),
            recent=int(popular["len"].sum()),
            popular=dict(popular.head(TOP_ITEMS).iter_rows()),
            gaps=_gaps(rows, first, last),
            lengths=_lengths(by_user["len"]),
            schema=_schema(dataset),
            event_types=tuple(kinds),
            user_sample=Sketch.of(by_user[c.USER], by_user.height),
            item_sample=Sketch.of(by_item[c.ITEM], by_item.height),
        )

    @classmethod
    def read(cls, path: Path) -> "Profile":
        """Read what `write` wrote.

        Raises:
            DataError: it is none.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(Profile).validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError(
                f"{path} is no profile of an accepted dataset: {error}. Remove it, and accept a dataset again: "
                "recsys check NAME --accept."
            ) from error

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_atomically(path, json.dumps(asdict(self), default=lambda value: value.isoformat(), ensure_ascii=False))


def accepted_path(dataset: DatasetDir) -> Path:
    """Where the profile lies of what was last accepted under the name of a dataset: beside it."""
    return dataset.path.with_name(f"{dataset.name}.accepted.json")


def accepted(dataset: DatasetDir) -> Profile | None:
    """The profile of what was last accepted under this name; None: nothing was."""
    path = accepted_path(dataset)
    return Profile.read(path) if path.is_file() else None


def accept(profile: Profile, dataset: DatasetDir) -> None:
    """From now on datasets of this name are compared with this one."""
    profile.write(accepted_path(dataset))


def _counts(rows: pl.LazyFrame, name: str) -> pl.DataFrame:
    return rows.group_by(name).agg(pl.len().alias("len")).sort(name).collect(engine="streaming")


def _lengths(lengths: pl.Series) -> tuple[int, ...]:
    """How many histories there are in each class."""
    at_most = [0, *(int((lengths <= greatest).sum()) for greatest in LENGTHS), len(lengths)]
    return tuple(after - before for before, after in pairwise(at_most))


def _gaps(rows: pl.LazyFrame, first: datetime | None, last: datetime | None) -> tuple[date, ...]:
    if first is None or last is None:
        return ()
    begin = max(first.date(), last.date() - timedelta(days=GAP_DAYS - 1))
    day = pl.col(c.TIMESTAMP).dt.date()
    days = rows.select(day).filter(day >= begin).unique().collect(engine="streaming")[c.TIMESTAMP]
    present = set(days)
    wanted = (begin + timedelta(days=number) for number in range((last.date() - begin).days))
    return tuple(one for one in wanted if one not in present)


def _schema(dataset: DatasetDir) -> dict[str, str]:
    """Columns that have values; those of interactions are there always, filled or not."""
    interactions = dataset.interactions()
    filled = interactions.select(pl.all().is_not_null().any()).collect(engine="streaming").row(0, named=True)
    found = {name: str(dtype) for name, dtype in interactions.collect_schema().items() if filled[name]}
    for prefix, path in (("users", dataset.users_path), ("items", dataset.items_path)):
        if path.is_file():
            columns = dataset.table(path).collect_schema().items()
            found |= {f"{prefix}.{name}": str(dtype) for name, dtype in columns}
    return found

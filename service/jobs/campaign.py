"""Campaign: the lists that the endpoint would give to many users at once, for the same request.

Each user is a query of `ranking.ranking.answer_all`, as each request is: with the history and the metadata that a
dataset, or the event store, has of the user, and with what the store says of items (`campaign_items`). Users are asked
for in their order, in batches of one size, and a part ends where a batch does: so lists are the same however many parts
there are, and wherever a run was broken off.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from math import ceil
from pathlib import Path

import polars as pl

from recsys_vae.data.changed_tables import change_files
from recsys_vae.data.columns import ITEM, RANK, SCORE, SOURCE, TIER, USER
from recsys_vae.data.purchases import DAY
from recsys_vae.errors import ConfigError
from service.http.conversion import to_request
from service.jobs.audience import FIELDS
from service.jobs.campaign_histories import Histories, Window
from service.jobs.campaign_output import SCHEMA, Folder, Part, as_table, single_file
from service.jobs.history_import import TABLE, USERS_TABLE
from service.jobs.signed_events import DISLIKES, REPEATS
from service.jobs.user_metadata import known_metadata
from service.ranking.exploration import exploring, seed_of
from service.ranking.ranking import answer, answer_all
from service.ranking.results import Answer, Query
from service.ranking.served_model import Catalogue
from service.ranking.steps import finished
from service.schemas.recommendations import RecommendationRequest
from service.store.user_history import history_of
from service.timestamps import to_microseconds

BATCH = 256
"""Users who are answered together."""
USERS_A_PART = 102_400
NAMED = 10
"""Users without a list who are named; others are counted."""


@dataclass(frozen=True, eq=False)
class Campaign:
    """What is asked for whom.

    Attributes:
        catalogue: which answers.
        dataset: folder whose table of users says what is known of them.
        users: ids, ascending.
        histories: of these users.
        request: what is asked for each.
        window: whose events hide their items; None for none.
        now: when lists are asked for, which purchases are seen from; None where no event has a time.
        explore: share of the places of a list for items that the model does not know.
        drawn_at: when these are drawn, in microseconds since 1970, UTC: equal on a day.
    """

    catalogue: Catalogue
    dataset: Path
    users: pl.Series
    histories: Histories
    request: RecommendationRequest
    window: Window | None = None
    now: datetime | None = None
    explore: float = 0.0
    drawn_at: int = 0

    @property
    def fields(self) -> dict[str, pl.DataType]:
        """Type of each column of the items that comes with them."""
        types = self.catalogue.filters.metadata.dtypes
        return {name: types[name] for name in self.request.fields}

    def users_a_part(self, shards: int | None = None) -> int:
        """How many users a part has, a multiple of a batch."""
        wanted = USERS_A_PART if shards is None else ceil(len(self.users) / shards)
        return ceil(max(1, wanted) / BATCH) * BATCH

    @property
    def goes_by_time(self) -> bool:
        """Whether lists depend on when they are asked for."""
        by_repeats = self.catalogue.knows_repeats and to_request(self.request).query.repeat != "exclude"
        return by_repeats or self.catalogue.goes_by_recency

    def check(self) -> None:
        """Answer nobody's query, so that a request that does not fit the bundle is an error before work begins.

        Raises:
            FieldError: a filter, a boost, a cap or a field does not fit the items' metadata.
            ConfigError: a field is named as a column that lists have anyway.
        """
        if taken := [name for name in self.request.fields if name in SCHEMA.names]:
            raise ConfigError(f"Lists have a column {taken[0]!r} of their own: a field of that name has no place.")
        answer(self.catalogue, to_request(self.request).query)


def run(campaign: Campaign, folder: Folder, size: int, tell: Callable[[Part], None]) -> list[Part]:
    """Write the parts that are missing, of so many users each; `tell` is told of each that is done."""
    for number in range(ceil(len(campaign.users) / size)):
        if number in folder.done:
            continue
        lists, part = lists_of(campaign, number, size)
        folder.write(part, as_table(lists, campaign.fields))
        tell(part)
    return list(folder.done.values())


def run_whole(campaign: Campaign, to: Path, size: int, tell: Callable[[Part], None]) -> list[Part]:
    """Write all lists to one file; memory holds those of so many users."""
    parts = []
    with single_file(to, campaign.fields) as writer:
        for number in range(ceil(len(campaign.users) / size)):
            lists, part = lists_of(campaign, number, size)
            writer.write_table(as_table(lists, campaign.fields))
            parts.append(part)
            tell(part)
    return parts


def lists_of(campaign: Campaign, number: int, size: int) -> tuple[pl.DataFrame, Part]:
    """The lists of one part, and what is in it."""
    users, tables, tiers = campaign.users.slice(number * size, size), [], Counter[str]()
    without: list[str] = []
    for some, answers in _answers(campaign, users):
        tables.append(_table(some, answers, campaign.fields))
        tiers.update(found.tier for found in answers if found.items)
        without += [user for user, found in zip(some, answers, strict=True) if not found.items]
    lists = pl.concat(tables)
    return lists, Part(number, len(users), lists.height, dict(tiers), len(without), tuple(without[:NAMED]))


def fingerprint(dataset: Path) -> str:
    """SHA-256 of all tables of a dataset that lists depend on."""
    tables = [dataset / name for name in (TABLE, f"{DISLIKES}.parquet", f"{REPEATS}.parquet", USERS_TABLE, FIELDS)]
    digest = sha256()
    for path in (*tables, *change_files(dataset)):
        if path.is_file():
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _answers(campaign: Campaign, users: pl.Series) -> Iterator[tuple[list[str], list[Answer]]]:
    queries = _queries(campaign, users)
    for some in users.to_frame().iter_slices(BATCH):
        found = finished(answer_all(campaign.catalogue, list(islice(queries, some.height))))
        yield some[USER].to_list(), [_whole(one) for one in found]


def _whole(outcome: Answer | Exception) -> Answer:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _queries(campaign: Campaign, users: pl.Series) -> Iterator[Query]:
    """What each user asks, as the endpoint makes it of a request, the stored history and the metadata."""
    query, ids = to_request(campaign.request).query, users.to_list()
    bought = {} if campaign.window is None else campaign.histories.bought(ids, campaign.window)
    known = known_metadata(campaign.dataset / USERS_TABLE, users, campaign.catalogue.chain.bundle.tiers.schema)
    day = None if campaign.now is None else to_microseconds(campaign.now) // DAY
    for user, events in zip(ids, campaign.histories.read(ids), strict=True):
        asked = replace(query, metadata=known.get(user, {}), exclude=(*query.exclude, *bought.get(user, ())))
        asked = exploring(asked, campaign.explore, seed_of(f"user {user}", campaign.drawn_at))
        yield replace(asked, history=history_of(events, campaign.catalogue.rules), events=events, day=day)


def _table(users: list[str], answers: list[Answer], fields: Mapping[str, pl.DataType]) -> pl.DataFrame:
    rows = [
        (user, item.rank, item.item_id, item.score, found.tier, source)
        for user, found in zip(users, answers, strict=True)
        for item, source in zip(found.items, found.sources, strict=True)
    ]
    types = {USER: pl.String, RANK: pl.Int32, ITEM: pl.String, SCORE: pl.Float64, TIER: pl.String, SOURCE: pl.String}
    values = [one for found in answers for one in found.fields]
    columns = [
        pl.Series(name, [one[name] for one in values], dtype=dtype, strict=False) for name, dtype in fields.items()
    ]
    return pl.DataFrame(rows, schema=types, orient="row").with_columns(columns)

"""`recsys campaign`: lists for all or some users, as the endpoint answers the same request."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys_vae.data.signal_rules import Repeat

if TYPE_CHECKING:
    from service.jobs.audience import Audience
    from service.jobs.campaign import Campaign
    from service.jobs.campaign_output import Part
    from service.ranking.served_model import Catalogue
    from service.store.events import EventStore
    from service.store.item_records import LiveItem


class Source(StrEnum):
    """Where histories come from."""

    DATASET = "dataset"
    STORE = "store"


class ItemSource(StrEnum):
    """Who knows what items are like."""

    STORE = "store"
    BUNDLE = "bundle"


@dataclass(frozen=True)
class Wish:
    """Options that say whose lists, what is hidden, and what is known of items."""

    dataset: Path
    where: tuple[str, ...]
    users: Path | None
    exclude_bought: str | None
    now: datetime | None
    histories: Source
    items: ItemSource
    store: "EventStore"


def campaign(
    bundle: Annotated[str, typer.Argument(help="Bundle that answers: a directory, models:/NAME@ALIAS or s3://...")],
    dataset: Annotated[str, typer.Argument(help="Name of an ingested dataset, or a path to its folder.")],
    to: Annotated[Path, typer.Option(help="Folder of parts, which a rerun goes on with; or one file, NAME.parquet.")],
    k: Annotated[int | None, typer.Option("--k", "-k", help="Items a user.  [default: 20]", show_default=False)] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only users with this metadata, as in country=DE; several: all hold.")
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="Only these users: a text file with an id a line, or a table with user_id.")
    ] = None,
    request: Annotated[
        Path | None, typer.Option(help="Filter, boosts and more: a body as POST /v1/recommendations takes it, as JSON.")
    ] = None,
    at_most: Annotated[
        list[str] | None, typer.Option(help="N:COLUMN, as in 3:brand: so many items of a list share a value.")
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option(help="N:GROUP: so many of a list are of long-tail, new, or fit brand=Own, year>=2024, price<=10."),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(help="COLUMN[:STRENGTH], as in genres:0.5: lists have the history's shares of its values."),
    ] = None,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="As --repeat allow.")] = False,
    repeat: Annotated[
        Repeat | None,
        typer.Option(help="Items of the history: exclude, allow, or only these.", show_default=False),
    ] = None,
    exclude_bought: Annotated[
        str | None,
        typer.Option(
            help="DAYS[:EVENT_TYPE]: what had such an event (purchase) in the last days stays away; all else that was "
            "seen may come back."
        ),
    ] = None,
    now: Annotated[
        datetime | None,
        typer.Option(
            help="When lists are for (UTC): these days end then, and what is bought again is due or not.  "
            "[default: the latest event that is past]"
        ),
    ] = None,
    histories: Annotated[Source, typer.Option(help="Where histories come from.")] = Source.DATASET,
    items: Annotated[
        ItemSource,
        typer.Option(
            help="What is known of items: with what was changed about them in the event store (prices, what is hidden, "
            "new items), or as the bundle has them."
        ),
    ] = ItemSource.STORE,
    fields: Annotated[
        str | None, typer.Option(help="Columns of the items that come with each, as in title,price.")
    ] = None,
    explore_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the places for items that the model does not know, as the service has it "
            "(RECSYS_EXPLORE_SHARE).  [default: 0]",
            show_default=False,
        ),
    ] = None,
    store: Annotated[str | None, typer.Option(help="URL of the event store (RECSYS_STORE).")] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Parts of the folder.  [default: one for 102,400 users]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say for whom and of what; write nothing.")] = False,
) -> None:
    """Write the lists that the endpoint gives for one request, for many users."""
    from contextlib import closing
    from dataclasses import replace

    from recsys_vae.home import existing_dataset
    from recsys_vae.reranking.rules import parse_rules
    from service.deployment.bundle_sources import open_catalogue, resolved
    from service.jobs.audience import find_audience
    from service.jobs.campaign import Campaign
    from service.jobs.campaign_histories import DatasetHistories
    from service.jobs.campaign_items import show_items
    from service.jobs.campaign_request import read_request
    from service.jobs.history_import import TABLE
    from service.schemas.items import names_of
    from service.settings import read_settings
    from service.store.events import EventStore

    repeats = _repeat(repeat, keep_seen=keep_seen, exclude_bought=exclude_bought is not None)
    rules = parse_rules(at_most or [], at_least or [], calibrate)
    folder = existing_dataset(dataset, TABLE)
    utc = None if now is None else now if now.tzinfo else now.replace(tzinfo=UTC)
    settings = read_settings(store=store, explore_share=explore_share)
    audience = find_audience(folder, where or (), users)
    catalogue = open_catalogue(resolved(bundle))
    with closing(EventStore(settings.store_url)) as events:
        wish = Wish(folder, tuple(where or ()), users, exclude_bought, utc, histories, items, events)
        live = _items(wish, to)
        show_items(live, catalogue, settings.explore_share)
        types = catalogue.filters.metadata.dtypes
        asked = read_request(request, types, k=k, rules=rules, repeat=repeats, fields=names_of(fields))
        _note_origin(catalogue, folder.name)
        plan = Campaign(catalogue, folder, audience.users, DatasetHistories(folder), asked)
        ready = _prepare(replace(plan, explore=settings.explore_share), wish, to, shards)
        if dry_run:
            _tell_plan(ready, wish, to, len(live))
            return
        with _Bar(len(audience.users)) as tell:
            parts = _write(ready, to, live, tell)
    _tell_end(to, parts, audience, catalogue.version)


def _repeat(chosen: Repeat | None, *, keep_seen: bool, exclude_bought: bool) -> Repeat | None:
    from recsys_vae.errors import ConfigError

    allows = "--keep-seen" if keep_seen else "--exclude-bought" if exclude_bought else None
    if allows is None or (chosen == "only" and not keep_seen):
        return chosen
    if chosen not in (None, "allow"):
        raise ConfigError(f"{allows} lets items of the history come back, and --repeat {chosen} does not.")
    return "allow"


def _items(wish: Wish, to: Path) -> "list[LiveItem]":
    """What was changed about items: as a run that was broken off knows it, else as it is now."""
    from service.jobs.campaign_items import kept_items, stored_items

    if wish.items is ItemSource.BUNDLE:
        return []
    kept = kept_items(to)
    return stored_items(wish.store.database) if kept is None else kept


@dataclass(frozen=True)
class Prepared:
    """A campaign that can be run; `before` are what an earlier run had found, and the parts that it wrote."""

    plan: "Campaign"
    asked: dict[str, Any]
    settled: dict[str, Any]
    size: int
    before: "list[Part]"


def _prepare(plan: "Campaign", wish: Wish, to: Path, shards: int | None) -> Prepared:
    """Check all that is asked, and settle what has to be the same for all parts."""
    from dataclasses import replace

    from recsys_vae.outputs import check_output
    from service import timestamps
    from service.jobs.campaign_histories import StoredHistories, find_now, find_window
    from service.jobs.campaign_output import LISTS, settled_before

    is_file, events = to.suffix == ".parquet", wish.store if wish.histories is Source.STORE else None
    size = plan.users_a_part(shards)
    asked = _asked(plan, wish, size, None if events is None else events.address)
    before = None if is_file else settled_before(to, asked)
    settled: dict[str, Any] = {} if before is None else before[0]
    if is_file:
        check_output(to, LISTS)
    if events is not None:
        settled.setdefault("through", events.last_sequence())
        plan = replace(plan, histories=StoredHistories(events, settled["through"]))
    if wish.exclude_bought is not None or plan.goes_by_time:
        until = datetime.fromisoformat(settled["until"]) if "until" in settled else wish.now
        plan = replace(plan, now=find_now(plan.histories, until))
        settled |= {} if plan.now is None else {"until": plan.now.isoformat()}
    if wish.exclude_bought is not None:
        plan = replace(plan, window=find_window(plan.histories, wish.exclude_bought, plan.now))
    if plan.explore:
        moment = timestamps.now() if wish.now is None else timestamps.to_microseconds(wish.now)
        plan = replace(plan, drawn_at=settled.setdefault("drawn_at", moment))
    plan.check()
    return Prepared(plan, asked, settled, size, [] if before is None else before[1])


def _write(ready: Prepared, to: Path, items: "list[LiveItem]", tell: "_Bar") -> "list[Part]":
    from service.jobs.campaign import run, run_whole
    from service.jobs.campaign_output import opened

    if to.suffix == ".parquet":
        return run_whole(ready.plan, to, ready.size, tell)
    with opened(to, ready.asked, ready.settled, ready.before, items) as folder:
        tell.go_on(ready.before)
        return run(ready.plan, folder, ready.size, tell)


def _tell_plan(ready: Prepared, wish: Wish, to: Path, n_items: int) -> None:
    """What a run would do."""
    from math import ceil

    done, users = sum(part.users for part in ready.before), len(ready.plan.users)
    parts = "one file" if to.suffix == ".parquet" else f"{ceil(users / ready.size):,} parts"
    known = f"{n_items:,} items changed since" if wish.items is ItemSource.STORE else "items as the bundle has them"
    typer.echo(
        f"{to}: would get lists of {ready.plan.request.k} for {users - done:,} of {users:,} users in {parts}, "
        f"{ready.plan.catalogue.version}, {known}"
    )


def _asked(plan: "Campaign", wish: Wish, size: int, store: str | None) -> dict[str, Any]:
    """All that lists depend on: a rerun goes on only where it is the same."""
    from hashlib import sha256

    from service.jobs.campaign import fingerprint
    from service.jobs.campaign_request import OF_ONE_USER

    return {
        "bundle": plan.catalogue.version,
        "dataset": wish.dataset.name,
        "dataset_fingerprint": fingerprint(wish.dataset),
        "histories": store or "dataset",
        "request": plan.request.model_dump(mode="json", exclude={*OF_ONE_USER, "explain"}),
        "where": sorted(wish.where),
        "users": {"number": len(plan.users), "sha256": sha256("\0".join(plan.users).encode()).hexdigest()},
        "items": wish.items.value,
        "explore_share": plan.explore,
        "exclude_bought": wish.exclude_bought,
        "now": None if wish.now is None else wish.now.isoformat(),
        "users_a_part": size,
    }


class _Bar:
    """A bar for people, or a line a part where nobody looks."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self._total, self._done = total, 0
        self._bar = tqdm(total=total, desc="campaign", unit="user", unit_scale=True, disable=None)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def __call__(self, part: "Part") -> None:
        self._done += part.users
        self._bar.update(part.users)
        if self._bar.disable:
            _note(f"{datetime.now(UTC):%H:%M:%S} part {part.number}: {self._done:,} of {self._total:,} users")

    def go_on(self, done: "Sequence[Part]") -> None:
        """What was done before."""
        if done:
            self._done = sum(part.users for part in done)
            self._bar.update(self._done)
            _note(f"{self._done:,} of {self._total:,} users have their lists already")


def _note_origin(catalogue: "Catalogue", dataset: str) -> None:
    learned_from = catalogue.chain.bundle.manifest.provenance.dataset
    if learned_from != dataset:
        _note(f"{catalogue.version} learned from {learned_from!r}, not from {dataset!r}")


def _tell_end(to: Path, parts: "list[Part]", audience: "Audience", version: str) -> None:
    asked, tiers = len(audience.users), Counter[str]()
    for part in parts:
        tiers.update(part.tiers)
    if audience.n_strangers:
        _note(
            f"the dataset does not know {audience.n_strangers:,} of the {asked:,} users asked for, who are answered as "
            f"new users: {_some(audience.strangers, audience.n_strangers)}"
        )
    if without := sum(part.without_list for part in parts):
        named = [user for part in parts for user in part.named][:10]
        _note(f"{without:,} of {asked:,} users get no list, as no item is allowed: {_some(named, without)}")
    told = ", ".join(f"{number:,} by {tier}" for tier, number in sorted(tiers.items())) or "none"
    typer.echo(f"{to}: {sum(part.rows for part in parts):,} rows for {tiers.total():,} users ({told}), {version}")


def _some(ids: "Sequence[str]", number: int) -> str:
    return ", ".join(ids) + (f" and {number - len(ids):,} more" if number > len(ids) else "")


def _note(text: str) -> None:
    typer.echo(f"note: {text}", err=True)

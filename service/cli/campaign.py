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
    from service.schemas.recommendations import RecommendationRequest


class Source(StrEnum):
    """Where histories come from."""

    DATASET = "dataset"
    STORE = "store"


@dataclass(frozen=True)
class Wish:
    """Options that say whose lists, and what is hidden."""

    dataset: Path
    where: tuple[str, ...]
    users: Path | None
    exclude_bought: str | None
    now: datetime | None
    histories: Source
    store: str | None


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
    store: Annotated[str | None, typer.Option(help="URL of the event store (RECSYS_STORE), for those from it.")] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Parts of the folder.  [default: one for 102,400 users]")
    ] = None,
) -> None:
    """Write the lists that the endpoint gives for one request, for many users."""
    from recsys_vae.home import existing_dataset
    from recsys_vae.reranking.rules import parse_rules
    from service.deployment.bundle_sources import open_catalogue, resolved
    from service.jobs.audience import find_audience
    from service.jobs.campaign_request import read_request
    from service.jobs.history_import import TABLE

    repeats = _repeat(repeat, keep_seen=keep_seen, exclude_bought=exclude_bought is not None)
    rules = parse_rules(at_most or [], at_least or [], calibrate)
    folder = existing_dataset(dataset, TABLE)
    utc = None if now is None else now if now.tzinfo else now.replace(tzinfo=UTC)
    wish = Wish(folder, tuple(where or ()), users, exclude_bought, utc, histories, store)
    audience = find_audience(folder, wish.where, users)
    catalogue = open_catalogue(resolved(bundle))
    asked = read_request(request, catalogue.chain.bundle.item_table, k=k, rules=rules, repeat=repeats)
    _note_origin(catalogue, folder.name)
    with _Bar(len(audience.users)) as tell:
        parts = _write(catalogue, audience, asked, wish, to, shards, tell)
    _tell_end(to, parts, audience, catalogue.version)


def _repeat(chosen: Repeat | None, *, keep_seen: bool, exclude_bought: bool) -> Repeat | None:
    from recsys_vae.errors import ConfigError

    allows = "--keep-seen" if keep_seen else "--exclude-bought" if exclude_bought else None
    if allows is None or (chosen == "only" and not keep_seen):
        return chosen
    if chosen not in (None, "allow"):
        raise ConfigError(f"{allows} lets items of the history come back, and --repeat {chosen} does not.")
    return "allow"


def _write(
    catalogue: "Catalogue", audience: "Audience", request: "RecommendationRequest", wish: Wish, to: Path,
    shards: int | None, tell: "_Bar",
) -> "list[Part]":  # fmt: skip
    from dataclasses import replace

    from recsys_vae.outputs import check_output
    from service.jobs.campaign import Campaign, run, run_whole
    from service.jobs.campaign_histories import DatasetHistories, StoredHistories, find_now, find_window
    from service.jobs.campaign_output import LISTS, opened, settled_before
    from service.settings import read_settings
    from service.store.events import EventStore

    is_file, events = to.suffix == ".parquet", None
    if wish.histories is Source.STORE:
        events = EventStore(read_settings(store=wish.store).store_url)
    plan = Campaign(catalogue, wish.dataset, audience.users, DatasetHistories(wish.dataset), request)
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
    plan.check()
    if is_file:
        return run_whole(plan, to, size, tell)
    done = [] if before is None else before[1]
    with opened(to, asked, settled, done) as folder:
        tell.go_on(done)
        return run(plan, folder, size, tell)


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

"""View of one item: what is known of it, who gets it, what is like it, and how well known it is."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from anyio import to_thread
from markupsafe import Markup

from recsys_vae.pages.charts import Series, bars, line
from recsys_vae.pages.formatting import day_of
from service.deployment.variants import VariantSet
from service.http.dependencies import Services
from service.http.routes.item_lists import found_list
from service.http.routes.recommendations import is_noted
from service.ranking.item_lists import SIMILAR, TOGETHER, Source
from service.ranking.results import Query
from service.ranking.served_model import Catalogue
from service.security.access import Access
from service.store.item_events import ItemEvents, item_events
from service.store.shown_items import ShownItem, shown_item
from service.ui.cards import Card, Columns, card, cards, columns_of
from service.ui.courtesy import in_turn
from service.ui.item_facts import ItemFacts, facts_of
from service.ui.item_popularity import binned, popularity_of

BESIDE: Final = 8
"""Items that are like it, or bought with it."""
USERS: Final = 20
ACTIONS: Final = 10
DAYS_SHOWN: Final = 60
VARIANTS_DRAWN: Final = 4


@dataclass(frozen=True)
class ItemLook:
    """One look at one item, with the catalogue of the variant that was chosen.

    Attributes:
        services: of the application.
        access: of the key that looks.
        item_id: of the item.
        variant: whose bundle says; the first one where none is chosen.
    """

    services: Services
    access: Access
    item_id: str
    variant: str | None

    @property
    def variant_set(self) -> VariantSet:
        """What is in service."""
        return self.services.deployments.variant_set

    @property
    def catalogue(self) -> Catalogue:
        """Of the variant."""
        chosen = self.variant_set.variants[0] if self.variant is None else self.variant_set.named(self.variant)
        return chosen.catalogue

    @property
    def columns(self) -> Columns:
        """That cards show."""
        return columns_of(self.variant_set)

    async def facts(self) -> ItemFacts | None:
        """What is known of it; None where nobody knows it."""
        return await to_thread.run_sync(facts_of, self.services.items, self.catalogue, self.item_id)

    async def view(self, found: ItemFacts) -> dict[str, Any]:
        """What the template shows, as far as the key may see it."""
        has_lists = found.row >= 0 and not found.described.is_deleted
        kinds = {"similar": SIMILAR, "together": TOGETHER} if has_lists else {}
        stored, *lists = await asyncio.gather(self._stored(), *map(self._beside, kinds.values()))
        beside = dict(zip(kinds, lists, strict=True))
        told = await in_turn(self.services.engine, self._told, found, beside)
        return {**stored, **told}

    async def _beside(self, kind: str) -> list[dict[str, Any]]:
        """Items that are like it, or bought with it, as the API lists them."""
        source, query = Source(kind, self.item_id), Query(BESIDE)
        _, items = await found_list(source, query, "query", self.services, self.access, self.variant)
        return items

    async def _stored(self) -> dict[str, Any]:
        """What the store says, as far as the key may see it."""
        if self.access.opens("histories"):
            await self.services.exposures.flush()
        return await to_thread.run_sync(self._read)

    def _read(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self.access.opens("histories"):
            database = self.services.store.database
            told["shown"], told["events"] = (
                shown_item(database, self.item_id, USERS),
                item_events(database, self.item_id),
            )
            told["shown_chart"], told["events_chart"] = _shown_chart(told["shown"]), _events(told["events"])
        if self.access.opens("items"):
            told["actions"] = self.services.actions.latest(ACTIONS, None, f"item:{self.item_id}")
        return told

    def _told(self, found: ItemFacts, beside: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
        """Views of what is known of it, and of the lists beside it."""
        columns, popularity = self.columns, popularity_of(self.catalogue, found.row) if found.row >= 0 else None
        held = cards(self.catalogue, [one["item_id"] for items in beside.values() for one in items], columns)
        lists = {name: _with_scores(items, held) for name, items in beside.items()}
        return (
            {"similar": [], "together": []}
            | lists
            | {
                "item": card(self.item_id, found.described.fields, columns),
                "popularity": popularity,
                "windows": _windows(popularity) if popularity and popularity.recent_days else None,
                "is_noted": is_noted(self.variant_set, self.services),
                "bundle": self.catalogue.version,
                "n_items": len(self.catalogue),
            }
        )


def _with_scores(items: list[dict[str, Any]], held: Mapping[str, Card]) -> list[tuple[Card, float]]:
    return [(held[one["item_id"]], one["score"]) for one in items]


def _windows(popularity: Any) -> Markup:
    labels = [f"{popularity.baseline_days:g} days before", f"latest {popularity.recent_days:g} days"]
    return bars("Events a day in the training data", labels, [popularity.baseline, popularity.recent], digits=2)


def _shown_chart(shown: ShownItem) -> Markup | None:
    """Lists by day, a line a variant; the first variants only where there are many."""
    if not shown.days:
        return None
    last = max(one.day for one in shown.days)
    first = max(min(one.day for one in shown.days), last - DAYS_SHOWN + 1)
    names = list(dict.fromkeys(one.variant for one in shown.days))[:VARIANTS_DRAWN]
    counts = {name: [0.0] * (last - first + 1) for name in names}
    for one in shown.days:
        if one.day >= first and one.variant in counts:
            counts[one.variant][one.day - first] += one.lists
    labels = [day_of(day) for day in range(first, last + 1)]
    if len(labels) == 1:
        return bars(f"Lists that held it on {labels[0]}", names, [counts[name][0] for name in names])
    return line("Lists that held it, by day", labels, [Series(name, counts[name]) for name in names], digits=0)


def _events(events: ItemEvents) -> Markup | None:
    width, labels, counts = binned(events)
    if not labels:
        return None
    of = "day" if width == 1 else f"{width} days"
    if len(labels) == 1:
        return bars(f"Events by {of}", labels, counts)
    return line(f"Events by {of}", labels, [Series("events", counts)], digits=0)

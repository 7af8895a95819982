"""View of one item: what is known of it, who gets it, what is like it, and how well known it is."""

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
        told: dict[str, Any] = {"similar": [], "together": [], "warnings": []}
        if found.row >= 0 and not found.described.is_deleted:
            told = {name: await self._beside(kind) for name, kind in (("similar", SIMILAR), ("together", TOGETHER))}
        if self.access.opens("histories"):
            await self.services.exposures.flush()
            told |= await to_thread.run_sync(self._stored)
        if self.access.opens("items"):
            subject = f"item:{self.item_id}"
            told["actions"] = await to_thread.run_sync(self.services.actions.latest, ACTIONS, None, subject)
        popularity = popularity_of(self.catalogue, found.row) if found.row >= 0 else None
        return told | {
            "item": card(self.item_id, found.described.fields, self.columns),
            "popularity": popularity,
            "windows": _windows(popularity) if popularity and popularity.recent_days else None,
            "is_noted": is_noted(self.variant_set, self.services),
            "bundle": self.catalogue.version,
            "n_items": len(self.catalogue),
        }

    async def _beside(self, kind: str) -> list[tuple[Card, float]]:
        """Cards and scores of items that are like it, or bought with it, as the API lists them."""
        source, query = Source(kind, self.item_id), Query(BESIDE)
        _, items = await found_list(source, query, "query", self.services, self.access, self.variant)
        found = await to_thread.run_sync(cards, self.catalogue, [one["item_id"] for one in items], self.columns)
        return [(found[one["item_id"]], one["score"]) for one in items]

    def _stored(self) -> dict[str, Any]:
        database = self.services.store.database
        shown, events = shown_item(database, self.item_id, USERS), item_events(database, self.item_id)
        return {"shown": shown, "shown_chart": _shown_chart(shown), "events": events, "events_chart": _events(events)}


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

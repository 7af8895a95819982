"""Views of a list: its items as cards, with where each came from, and the history that it was made of."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from service.ui.cards import Card, cards
from service.ui.user_lists import Asker

MOST_SHOWN: Final = 100
"""Items of a history that are shown, the latest."""


@dataclass(frozen=True)
class Cause:
    """An item of the history, and how much of a score is due to it."""

    title: str
    effect: float


@dataclass(frozen=True)
class Place:
    """An item of the list.

    Attributes:
        card: what it looks like.
        rank: from 1.
        was: its rank before the changes; None where it was not among those looked at.
        has_before: whether there is a list to compare with.
        is_seen: whether it is in the history too.
        because: None where nobody asked.
        pushed_by: history, metadata or popularity; None where nobody asked.
        team: of an interleaved list, the variant that it is credited to.
    """

    card: Card
    rank: int
    score: float
    source: str
    was: int | None
    has_before: bool
    is_seen: bool
    because: tuple[Cause, ...] | None
    pushed_by: str | None
    team: str | None

    @property
    def moved(self) -> int | None:
        """Places up, below 0 for down; None where there is nothing to compare with."""
        return self.was - self.rank if self.was is not None else None


@dataclass(frozen=True)
class Step:
    """An item of the history.

    Attributes:
        card: what it looks like.
        kind: of its last event; None where unknown.
        time: of that, in microseconds since 1970.
        is_disliked: by the rules of the bundle.
        is_added: whether it was added on this page.
        is_dropped: whether it was taken out on this page.
        n_caused: items of the list that it pushes up.
    """

    card: Card
    kind: str | None = None
    time: int | None = None
    is_disliked: bool = False
    is_added: bool = False
    is_dropped: bool = False
    n_caused: int = 0

    @property
    def anchor(self) -> str:
        """Of what acts on it, the same before and after."""
        return blake2b(self.card.item_id.encode(), digest_size=6).hexdigest()


def view(asker: Asker, answer: dict[str, Any], former: dict[str, Any] | None, told: dict[str, Any]) -> dict[str, Any]:
    """What the template shows.

    Args:
        asker: who asked.
        answer: the list, fields of `Recommendations`.
        former: what it was before the changes, and more of it; None where nothing was changed.
        told: what else there is, the answer to why not among it.
    """
    ranks = {item["item_id"]: item["rank"] for item in former["items"]} if former else {}
    steps, n_history = _steps(asker, answer)
    seen = {step.card.item_id for step in steps if not step.is_dropped}
    gone = [one for one in (former or {"items": []})["items"][: asker.play.k] if one["item_id"] not in _ids(answer)]
    found = _cards(asker, answer, [one["item_id"] for one in gone])
    places = [_place(item, found, ranks, former is not None, seen) for item in answer["items"]]
    why_not = told.get("why_not")
    return {
        "answer": answer,
        "places": places,
        "gone": [(found[one["item_id"]], one["rank"]) for one in gone],
        "steps": steps,
        "n_history": n_history,
        "news": _news(places, len(gone)) if former else "",
        "why_not": why_not,
        "asked": cards_of(asker, [asker.play.item])[0] if why_not is not None else None,
        "is_read": asker.stored is not None,
    }


def cards_of(asker: Asker, item_ids: Iterable[str]) -> list[Card]:
    """Cards of items, in this order."""
    ids = list(item_ids)
    found = cards(asker.catalogue, ids, asker.columns)
    return [found[item_id] for item_id in ids]


def _cards(asker: Asker, answer: dict[str, Any], others: list[str]) -> dict[str, Card]:
    causes = [cause["item_id"] for item in answer["items"] for cause in item.get("because") or ()]
    return cards(asker.catalogue, [*_ids(answer), *others, *causes], asker.columns)


def _place(
    item: dict[str, Any], found: Mapping[str, Card], ranks: Mapping[str, int], has_before: bool, seen: set[str]
) -> Place:
    because = item.get("because")
    return Place(
        found[item["item_id"]],
        item["rank"],
        item["score"],
        item["source"],
        ranks.get(item["item_id"]),
        has_before,
        item["item_id"] in seen,
        None if because is None else tuple(Cause(found[one["item_id"]].title, one["effect"]) for one in because),
        item.get("pushed_by"),
        item.get("variant"),
    )


def _steps(asker: Asker, answer: dict[str, Any]) -> tuple[list[Step], int]:
    """The history, latest first, what was added on the page before all; and how long it is."""
    caused = Counter(cause["item_id"] for item in answer["items"] for cause in item.get("because") or ())
    latest: dict[str, tuple[str | None, int | None]] = {}
    weights: Mapping[str, float] = {}
    if asker.stored is not None:
        events, weights = asker.history()
        for item_id, kind, time in zip(events.item_ids, events.kinds, events.times, strict=True):
            latest.pop(item_id, None)
            latest[item_id] = (kind, time)
    stored = [item_id for item_id in reversed(latest) if item_id not in asker.play.add]
    found = cards(asker.catalogue, [*asker.play.add, *stored[:MOST_SHOWN]], asker.columns)
    added = [Step(found[one], is_added=True, n_caused=caused[one]) for one in reversed(asker.play.add)]
    steps = [
        Step(
            found[one],
            *latest[one],
            is_disliked=weights.get(one, 0.0) < 0,
            is_dropped=one in asker.play.drop,
            n_caused=caused[one],
        )
        for one in stored[:MOST_SHOWN]
    ]
    return added + steps, len(stored) + len(added)


def _ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def _news(places: list[Place], n_gone: int) -> str:
    """What changed, in a sentence."""
    came = sum(place.was is None for place in places)
    moved = sum(bool(place.moved) for place in places)
    if not moved and not came and not n_gone:
        return "The list is the same."
    return f"{moved} items moved, {came} came from further down, {n_gone} left the list."

"""Why not that: where an item stands in a user's list, and what keeps it out of what is shown."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from anyio import to_thread

from recsys_vae.pages.formatting import moment, value
from service.http.conversion import to_condition
from service.ranking.live_items import Description
from service.schemas.common import MAX_K
from service.schemas.recommendations import RecommendationRequest
from service.store.user_history import UserEvents
from service.ui.play import OPERATIONS, Play, condition
from service.ui.user_lists import Asker

DEEPEST: Final = MAX_K
"""Places that are looked at."""


@dataclass(frozen=True)
class WhyNot:
    """What there is to say of an item.

    Attributes:
        item_id: of the item.
        rank: in the list as it is asked for; None where it is not among the first thousand.
        score: its own, whatever keeps it out; None where the model gives it none.
        last_score: of the last item that is shown.
        would_be: the place that its score would give it; None where nothing but its score keeps it out.
        reasons: that keep it out, in words.
    """

    item_id: str
    rank: int | None
    score: float | None
    last_score: float | None
    would_be: int | None
    reasons: tuple[str, ...]

    @property
    def lacks(self) -> float | None:
        """How much its score is below that of the last item shown."""
        if self.score is None or self.last_score is None or self.score >= self.last_score:
            return None
        return self.last_score - self.score


async def deep_list(asker: Asker) -> dict[str, Any]:
    """All places that are looked at of a user's list, the fields of `Recommendations`."""
    capped = [cap.column for cap in asker.play.caps]
    return await asker.ask(asker.play, k=DEEPEST, explain=False, fields=tuple(dict.fromkeys(capped)))


async def why_not(asker: Asker, item_id: str, shown: dict[str, Any], deep: dict[str, Any]) -> WhyNot:
    """Look for an item in a user's list.

    Args:
        asker: who asks, with what is changed.
        item_id: of the item.
        shown: the list, the fields of `Recommendations`.
        deep: the same, further down.
    """
    scores = [item["score"] for item in deep["items"]]
    last = shown["items"][-1]["score"] if shown["items"] else None
    found = next((item for item in deep["items"] if item["item_id"] == item_id), None)
    if found is not None:
        return WhyNot(item_id, found["rank"], found["score"], last, None, ())
    describe = to_thread.run_sync(asker.services.items.describe, asker.catalogue, item_id)
    described, score = await asyncio.gather(describe, _score(asker, item_id))
    would_be = None if score is None else 1 + sum(other > score for other in scores)
    reasons = tuple(_reasons(asker, item_id, described, deep))
    if not reasons and len(scores) >= DEEPEST:
        reasons = (f"Its score puts it behind the first {DEEPEST:,} places.",)
    return WhyNot(item_id, None, score, last, would_be if would_be and would_be <= len(scores) else None, reasons)


async def _score(asker: Asker, item_id: str) -> float | None:
    """The score of an item that nothing keeps out."""
    free = replace(asker.play, filters=(), caps=(), diversity=0.0, repeat="allow")
    alone = await asker.ask(free, candidates=[item_id], k=1, explain=False)
    scored = [item["score"] for item in alone["items"] if item["item_id"] == item_id]
    return scored[0] if scored else None


def _reasons(asker: Asker, item_id: str, described: Description | None, deep: dict[str, Any]) -> list[str]:
    if described is None:
        return ["No item has this id, neither in the bundle nor among those that came since."]
    reasons: list[str] = []
    if described.is_deleted:
        reasons.append("It was deleted.")
    if described.is_hidden:
        reasons.append("It is hidden.")
    if not described.is_in_model:
        reasons.append("The model does not know it: it came after the bundle was trained.")
    reasons += _of_history(asker, item_id)
    if described.is_in_model:
        reasons += _of_filters(asker, item_id)
        reasons += _of_caps(asker.play, described, deep)
    return reasons


def _of_history(asker: Asker, item_id: str) -> list[str]:
    play = asker.play
    if item_id in play.add:
        return ["It was added to the history here."] if play.repeat == "exclude" else []
    is_known = asker.stored is not None and item_id not in play.drop
    events, weights = asker.history() if is_known else (UserEvents(), {})
    weight = weights.get(item_id, 0.0)
    if weight < 0:
        return ["The user dislikes it, by the bundle's rules."]
    if weight > 0 and play.repeat == "exclude":
        last = max((place for place, one in enumerate(events.item_ids) if one == item_id), default=None)
        when = "" if last is None or events.times[last] is None else f", last on {moment(events.times[last])}"
        return [f"The user has it in the history{when}, and seen items are not repeated."]
    if weight <= 0 and play.repeat == "only" and asker.stored is not None:
        return ["Only items of the history are asked for, and it is not in there."]
    return []


def _of_filters(asker: Asker, item_id: str) -> list[str]:
    """Each condition that the item does not fit."""
    catalogue = asker.catalogue
    [row] = catalogue.rows([item_id]).tolist()
    types, reasons = catalogue.filters.columns, []
    for one in asker.play.filters:
        asked = RecommendationRequest.model_validate({"filter": condition(one, types)})
        assert asked.filter is not None
        if not catalogue.filters.mask(to_condition(asked.filter))[row]:
            [values] = catalogue.overlay.values(np.array([row]), [one.column])
            has = value(values.get(one.column))
            reasons.append(
                f"The filter {one.column} {OPERATIONS[one.operation]} {one.value} leaves it out: it has {has}."
            )
    return reasons


def _of_caps(play: Play, described: Description, deep: dict[str, Any]) -> list[str]:
    """Each cap that is full with items that share its value."""
    reasons = []
    for cap in play.caps:
        held = Counter(one for item in deep["items"] for one in _values(item["fields"][cap.column]))
        full = sorted(one for one in _values(described.fields.get(cap.column)) if held[one] >= int(cap.n))
        if full:
            reasons.append(f"The list holds {cap.n} items of {cap.column} {value(full)} already, which is the cap.")
    return reasons


def _values(found: Any) -> set[str]:
    return {str(one) for one in found} if isinstance(found, list | tuple) else set() if found is None else {str(found)}

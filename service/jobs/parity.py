"""Parity: does a live service answer what the offline scorer answers?

The offline lists are computed here, by the fallback chain over the exact scorer that `recsys recommend` uses: from the
same bundle, histories and metadata they are what that command writes. Both sides are told the metadata that the dataset
has of a user and the bundle has fields for, as requests carry them. So a comparison needs no list to be written first,
covers as many users as wanted, and sees past rank k, which tells items that swapped places over a rounding error from
items that do not belong there. It stands in the service because the client, the event table's reader and the wire's
schemas do.

Lists agree when, at every rank, the item there has the offline score of that rank, and the score that the service gave
it, but for 1e-5 of the list's largest score: float32 products differ by that much with the size of a batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import USER
from recsys_vae.data.features import Schema
from recsys_vae.data.histories import History
from recsys_vae.data.purchases import DAY
from recsys_vae.data.recency import Recency
from recsys_vae.data.signals import SignalRules
from recsys_vae.errors import DataError
from recsys_vae.protocols import FactorizedRecommender, Float32Array
from recsys_vae.recommender import FallbackChain
from recsys_vae.retrieval.exact import TorchIndex
from service import timestamps
from service.client.client import Client
from service.jobs.campaign_histories import by_user
from service.jobs.history_import import USERS_TABLE, DatasetEvents
from service.jobs.signed_events import signed_events
from service.jobs.user_metadata import Value, known_metadata
from service.ranking.recency import recency_of
from service.ranking.served_model import NO_RULES
from service.schemas.common import MAX_ITEMS
from service.schemas.recommendations import HistoryItem, RecommendationRequest, Recommendations, RecommendedItem
from service.store.user_history import UserEvents, UserHistory, history_of, joined

TOLERANCE = 1e-5
"""Of the largest score of a list."""
BEYOND = 100
"""Items below rank k that are known of an offline list: how deep an equal score may hide."""
USERS_AT_ONCE = 256
ANOTHER_HISTORY = (
    "with the dataset's history sent along it agrees: the stored one is another (not loaded, added to since, or erased)"
)


@dataclass(frozen=True)
class Person:
    """A user of a dataset.

    Attributes:
        user_id: who.
        events: what the dataset has, each a signed weight.
        metadata: what else is known, as a request tells it.
    """

    user_id: str
    events: UserEvents
    metadata: Mapping[str, Value] = field(default_factory=dict)

    def stored(self, rules: SignalRules) -> History:
        """The history that the service makes of the stored events."""
        return history_of(self.events, rules)

    def sent(self, rules: SignalRules) -> UserEvents:
        """The events as a request can tell them: rules of kinds and values are applied to them once more.

        Without rules no request can tell of a dislike: those are left out.
        """
        events = self.events
        rows = zip(events.item_ids, events.kinds, events.values, events.times, strict=True)
        told = [
            (item_id, kind, abs(value), time, False)
            for item_id, kind, value, time in rows
            if value is not None and (value > 0 or rules != NO_RULES)
        ]
        return UserEvents(*zip(*told, strict=True)) if told else UserEvents()


@dataclass(frozen=True)
class Ranking:
    """An offline list, best first, longer than what is compared.

    Attributes:
        item_ids: of its items.
        scores: as many.
    """

    item_ids: tuple[str, ...]
    scores: Float32Array


@dataclass(frozen=True)
class Verdict:
    """What a comparison found about one user; `difference` is None where the lists agree."""

    user_id: str
    difference: str | None


def choose_people(dataset: str, n: int, seed: int, schema: Schema | None = None) -> list[Person]:
    """At most n users of an ingested dataset, drawn at random, with histories that fit into a request.

    Args:
        dataset: its name, or a path to its folder.
        n: users.
        seed: of the draw.
        schema: of the bundle, whose fields are told of those users of whom the dataset knows them.

    Raises:
        UnknownNameError: there is no such dataset.
        DataError: it holds no user with at most 10,000 events.
    """
    path = DatasetEvents.open(dataset).path
    events = signed_events(path.parent)
    users = events.group_by(USER).len().filter(pl.col("len") <= MAX_ITEMS).select(USER).collect(engine="streaming")
    if not users.height:
        raise DataError(f"Dataset {dataset!r} holds no user with at most {MAX_ITEMS:,} events: nobody to compare.")
    chosen = users[USER].sort().sample(min(n, users.height), seed=seed)
    rows = events.filter(pl.col(USER).is_in(chosen.implode())).collect(engine="streaming")
    known = known_metadata(path.with_name(USERS_TABLE), chosen, schema)
    return [Person(user, events, known.get(user, {})) for user, events in by_user([rows])]


def compare(client: Client, bundle: Bundle, people: Sequence[Person], k: int, *, stored: bool) -> Iterator[Verdict]:
    """Ask the service about each and compare.

    Args:
        stored: ask by user id, so that the event store's histories are compared too; else send the histories.

    Raises:
        ServiceError: the service does not answer.
        DataError: it answers with another bundle.
    """
    chain, rules = _offline_chain(bundle), bundle.signals
    at_once = USERS_AT_ONCE if bundle.ranker is None else 1  # as it is asked: a tree makes a step of a last bit
    if bundle.tiers.schema is None:
        people = [replace(person, metadata={}) for person in people]
    for start in range(0, len(people), at_once):
        some = people[start : start + at_once]
        histories = [one.stored(rules) if stored else _told(one, rules) for one in some]
        seen = _recency(chain, some, rules, stored=stored)
        found_offline = rankings(chain, histories, k, [one.metadata for one in some], seen)
        for person, ranking in zip(some, found_offline, strict=True):
            served = _ask_by_id(client, person, k) if stored else _ask_with_history(client, person, k, rules)
            _check_version(served, bundle)
            found = difference(served.items, ranking, k)
            if found and stored and _agrees_when_sent(client, chain, person, k, rules):
                found = f"{found}; {ANOTHER_HISTORY}"
            yield Verdict(person.user_id, found)


def rankings(
    chain: FallbackChain,
    histories: Sequence[History],
    k: int,
    metadata: Sequence[Mapping[str, Value]] | None = None,
    recency: Recency | None = None,
) -> list[Ranking]:
    """Offline lists, to compare k places of, from histories and, where told, each user's metadata and recency."""
    items, schema = chain.bundle.items, chain.bundle.tiers.schema
    known = None if schema is None or metadata is None else schema.encode(metadata)
    matrix, order = _matrices(chain, histories)
    found = chain.recommend(matrix, min(k + BEYOND, len(items)), metadata=known, order=order, recency=recency)
    return [
        Ranking(tuple(items.ids(rows[rows >= 0])), scores[rows >= 0])
        for rows, scores in zip(found.rows, found.scores, strict=True)
    ]


def difference(served: Sequence[RecommendedItem], ranking: Ranking, k: int) -> str | None:
    """In which respect a served list is not the offline one; None where it is."""
    expected = min(k, len(ranking.item_ids))
    if len(served) != expected:
        return f"{len(served)} items, expected {expected}"
    if len({item.item_id for item in served}) != len(served):
        return "an item stands there twice"
    slack = TOLERANCE * float(np.abs(ranking.scores[:k]).max(initial=0.0))
    known = dict(zip(ranking.item_ids, ranking.scores.tolist(), strict=True))
    for item, offline in zip(served, ranking.scores.tolist(), strict=False):
        score = known.get(item.item_id)
        if score is None or abs(score - offline) > slack:
            place = "not near the list" if score is None else f"score {score:.7g}"
            return f"rank {item.rank} holds {item.item_id!r}, offline {place}; expected a score of {offline:.7g}"
        if abs(score - item.score) > slack:
            return f"item {item.item_id!r} has score {item.score:.7g}, offline {score:.7g}"
    return None


def _recency(chain: FallbackChain, people: Sequence[Person], rules: SignalRules, *, stored: bool) -> Recency | None:
    """How long ago they were last there, as the service knows it; None where lists do not go by it."""
    if not chain.takes_recency:
        return None
    today = timestamps.now() // DAY
    if stored:
        return recency_of([(one.events, today) for one in people], rules)
    sent = [one.sent(rules) for one in people]
    told = [UserEvents.of_ids(one.item_ids) if _is_plain(one, rules) else one for one in sent]
    return recency_of([(UserEvents().then(one), today) for one in told], rules)


def _told(person: Person, rules: SignalRules) -> History:
    """The history that the service makes of what it is sent."""
    return joined(UserHistory(), person.sent(rules), rules)


def _agrees_when_sent(client: Client, chain: FallbackChain, person: Person, k: int, rules: SignalRules) -> bool:
    seen = _recency(chain, [person], rules, stored=False)
    [ranking] = rankings(chain, [_told(person, rules)], k, [person.metadata], seen)
    return difference(_ask_with_history(client, person, k, rules).items, ranking, k) is None


def _ask_with_history(client: Client, person: Person, k: int, rules: SignalRules) -> Recommendations:
    history = _entries(person.sent(rules), rules)
    return client.recommend(RecommendationRequest(history=history, metadata=dict(person.metadata), k=k))


def _is_plain(events: UserEvents, rules: SignalRules) -> bool:
    """Whether the ids alone say all that counts."""
    return rules == NO_RULES and set(events.values) <= {None, 1.0}


def _entries(events: UserEvents, rules: SignalRules) -> list[str | HistoryItem]:
    """A history of a request; ids alone where nothing else counts."""
    if _is_plain(events, rules):
        return [*events.item_ids]
    rows = zip(events.item_ids, events.kinds, events.values, events.times, strict=True)
    return [
        HistoryItem(item_id=item_id, event_type=kind, weight=value, time=_moment(time))
        for item_id, kind, value, time in rows
    ]


def _moment(time: int | None) -> datetime | None:
    return None if time is None else timestamps.from_microseconds(time)


def _ask_by_id(client: Client, person: Person, k: int) -> Recommendations:
    if not person.metadata:
        return client.recommend_to_user(person.user_id, k)
    return client.recommend(RecommendationRequest(user_id=person.user_id, metadata=dict(person.metadata), k=k))


def _offline_chain(bundle: Bundle) -> FallbackChain:
    if isinstance(bundle.model, FactorizedRecommender):
        return FallbackChain(bundle, TorchIndex(bundle.model.item_vectors()))
    return FallbackChain(bundle)


def _matrices(chain: FallbackChain, histories: Sequence[History]) -> tuple[csr_array, csr_array]:
    """Signed histories, and the places in time of what is liked, shapes (n, n_items)."""
    lengths, shape = [len(one) for one in histories], (len(histories), chain.n_items)
    rows = chain.bundle.items.rows([item_id for one in histories for item_id in one])
    users, places = np.repeat(np.arange(len(histories)), lengths), np.concatenate([np.arange(n) + 1 for n in lengths])
    weights = np.array([weight for one in histories for weight in one.values()], dtype=np.float32)
    known, liked = rows >= 0, (rows >= 0) & (weights > 0)
    order = csr_array((places[liked].astype(np.float32), (users[liked], rows[liked])), shape=shape)
    return csr_array((weights[known], (users[known], rows[known])), shape=shape), order


def _check_version(served: Recommendations, bundle: Bundle) -> None:
    if served.model_version != bundle.version:
        raise DataError(
            f"The service answers with {served.model_version}, the bundle is {bundle.version}: these lists need not "
            "agree. Name the bundle that is in service."
        )

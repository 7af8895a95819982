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

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import ITEM, USER
from recsys_vae.data.features import Schema
from recsys_vae.data.histories import binary_histories
from recsys_vae.errors import DataError
from recsys_vae.frames import scan_table
from recsys_vae.protocols import FactorizedRecommender, Float32Array
from recsys_vae.recommender import FallbackChain
from recsys_vae.retrieval.exact import TorchIndex
from service.client.client import Client
from service.jobs.history_import import USERS_TABLE, DatasetEvents
from service.jobs.user_metadata import Value, known_metadata
from service.schemas.common import MAX_ITEMS
from service.schemas.recommendations import RecommendationRequest, Recommendations, RecommendedItem

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
        item_ids: of the history, distinct.
        metadata: what else is known, as a request tells it.
    """

    user_id: str
    item_ids: tuple[str, ...]
    metadata: Mapping[str, Value] = field(default_factory=dict)


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
        DataError: it holds no user with at most 10,000 items.
    """
    path = DatasetEvents.open(dataset).path
    table = scan_table(path).select(pl.col(USER, ITEM).cast(pl.String))
    lengths = table.group_by(USER).agg(pl.col(ITEM).n_unique().alias("n")).filter(pl.col("n") <= MAX_ITEMS)
    users = lengths.select(USER).collect(engine="streaming")[USER].sort()
    if not len(users):
        raise DataError(f"Dataset {dataset!r} holds no user with at most {MAX_ITEMS:,} items: nobody to compare.")
    chosen = users.sample(min(n, len(users)), seed=seed)
    rows = table.filter(pl.col(USER).is_in(chosen.implode())).unique().sort(USER, ITEM).collect(engine="streaming")
    known = known_metadata(path.with_name(USERS_TABLE), chosen, schema)
    histories = rows.group_by(USER, maintain_order=True)
    return [Person(str(user), tuple(part[ITEM]), known.get(str(user), {})) for (user,), part in histories]


def compare(client: Client, bundle: Bundle, people: Sequence[Person], k: int, *, stored: bool) -> Iterator[Verdict]:
    """Ask the service about each and compare.

    Args:
        stored: ask by user id, so that the event store's histories are compared too; else send the histories.

    Raises:
        ServiceError: the service does not answer.
        DataError: it answers with another bundle.
    """
    chain = _offline_chain(bundle)
    if bundle.tiers.schema is None:
        people = [replace(person, metadata={}) for person in people]
    ask = _ask_by_id if stored else _ask_with_history
    for start in range(0, len(people), USERS_AT_ONCE):
        some = people[start : start + USERS_AT_ONCE]
        histories, known = [person.item_ids for person in some], [person.metadata for person in some]
        for person, ranking in zip(some, rankings(chain, histories, k, known), strict=True):
            served = ask(client, person, k)
            _check_version(served, bundle)
            found = difference(served.items, ranking, k)
            if found and stored and difference(_ask_with_history(client, person, k).items, ranking, k) is None:
                found = f"{found}; {ANOTHER_HISTORY}"
            yield Verdict(person.user_id, found)


def rankings(
    chain: FallbackChain,
    histories: Sequence[Sequence[str]],
    k: int,
    metadata: Sequence[Mapping[str, Value]] | None = None,
) -> list[Ranking]:
    """Offline lists, to compare k places of, from the ids of histories and, where told, each user's metadata."""
    items, schema = chain.bundle.items, chain.bundle.tiers.schema
    known = None if schema is None or metadata is None else schema.encode(metadata)
    found = chain.recommend(_matrix(chain, histories), min(k + BEYOND, len(items)), metadata=known)
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


def _ask_with_history(client: Client, person: Person, k: int) -> Recommendations:
    return client.recommend(RecommendationRequest(history=list(person.item_ids), metadata=dict(person.metadata), k=k))


def _ask_by_id(client: Client, person: Person, k: int) -> Recommendations:
    if not person.metadata:
        return client.recommend_to_user(person.user_id, k)
    return client.recommend(RecommendationRequest(user_id=person.user_id, metadata=dict(person.metadata), k=k))


def _offline_chain(bundle: Bundle) -> FallbackChain:
    if isinstance(bundle.model, FactorizedRecommender):
        return FallbackChain(bundle, TorchIndex(bundle.model.item_vectors()))
    return FallbackChain(bundle)


def _matrix(chain: FallbackChain, histories: Sequence[Sequence[str]]) -> csr_array:
    users = np.repeat(np.arange(len(histories)), [len(one) for one in histories])
    rows = chain.bundle.items.rows([item_id for one in histories for item_id in one])
    return binary_histories(users, rows, len(histories), chain.n_items)


def _check_version(served: Recommendations, bundle: Bundle) -> None:
    if served.model_version != bundle.version:
        raise DataError(
            f"The service answers with {served.model_version}, the bundle is {bundle.version}: these lists need not "
            "agree. Name the bundle that is in service."
        )

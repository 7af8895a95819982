"""The fallback chain: which tier answers a user, and with what. The one scorer of batch jobs and service.

The tiers, and what decides between them, are in `tier_policy`. All tiers of the model are one pass of the encoder,
which is shown what the tier goes by: the history, the metadata, or both; and one search over the same item vectors.
Users for whom segment popularity counts besides, and those on the content tier, are not searched for in the index: what
is added to their scores is no inner product with item vectors, so theirs are computed whole.

A second stage (`second_stage.ranker`), where the bundle has one, puts the candidates of users with a history in order,
within their scores; whatever asks for lists or scores here gets them so.

Histories may be signed (`data.signals`): what a user dislikes is hidden like what is excluded, models that take
dislikes are shown it, and the tiers go by the length of what is liked. Models that go by order are given it besides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.tier_policy import CONTENT, ENCODED, HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT
from recsys_vae.data.features import check_metadata
from recsys_vae.data.histories import binarise, check_histories, only_rows
from recsys_vae.data.recency import Recency
from recsys_vae.data.signals import Repeat, disliked, liked
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.native import ranks
from recsys_vae.native.encoder import Encoder
from recsys_vae.native.lists import Lists
from recsys_vae.native.lookup import Lookup
from recsys_vae.native.products import products
from recsys_vae.native.quantised import Quantised
from recsys_vae.protocols import (
    BoolArray,
    FactorizedRecommender,
    Float32Array,
    Index,
    Int64Array,
    Ranks,
    StrArray,
    TopK,
    VectorsByRows,
    takes_dislikes,
    takes_metadata,
    takes_order,
)
from recsys_vae.retrieval.similarity import ItemSimilarity
from recsys_vae.top_k import check_k, check_masks, top_k

__all__ = ["CONTENT", "HISTORY", "POPULAR", "POSTERIOR", "PRIOR", "SEGMENT", "Answers", "FallbackChain", "Users"]


@dataclass(frozen=True)
class Answers:
    """Ranked items of n users.

    Attributes:
        rows: item rows, shape (n, k), best first; -1 where fewer than k items were allowed.
        scores: shape (n, k); comparable within one answer only.
        tiers: which tier answered, one name a user.
        scorer: which index or model computed the scores.
    """

    rows: Int64Array
    scores: Float32Array
    tiers: tuple[str, ...]
    scorer: str


BY_METADATA = (POSTERIOR, CONTENT, PRIOR)
"""Tiers on which the model is shown metadata."""

MOST_HELD, BLOCK = 1 << 28, 1 << 16
"""Numbers of item vectors beyond which they are made block by block where there is no index; items of a block."""
RANKED, RANKER = (POSTERIOR, HISTORY), "ranker"
"""Tiers whose lists a second stage puts in order, and what it is called as their scorer."""

Tier = Callable[["Users", int, BoolArray | None, csr_array | None], TopK]


@dataclass(frozen=True, eq=False)
class Users:
    """Users as the fallback chain sees them, encoded once however often they are then searched for.

    Attributes:
        histories: as the model is shown them, shape (n, n_items).
        tier_names: which tier answers, shape (n,).
        queries: what item vectors are multiplied with, shape (n, d); None where the model is not factorised.
        metadata: shape (n, n_features); None where nobody has any.
        weights: how much segment popularity counts beside the tier, shape (n,); None where it does with nobody.
        order: of the histories, shape (n, n_items); None unless the model goes by order.
        recency: how long ago they were last there; None unless the second stage goes by it.
    """

    histories: csr_array
    tier_names: StrArray
    queries: Float32Array | None
    metadata: csr_array | None = None
    weights: Float32Array | None = None
    order: csr_array | None = None
    recency: Recency | None = None

    def __len__(self) -> int:
        return len(self.tier_names)

    def __getitem__(self, chosen: Int64Array) -> "Users":
        if len(chosen) == len(self) and (chosen == np.arange(len(self))).all():
            return self
        queries = None if self.queries is None else self.queries[chosen]
        metadata = None if self.metadata is None else self.metadata[chosen]
        weights = None if self.weights is None else self.weights[chosen]
        order = None if self.order is None else self.order[chosen]
        recency = None if self.recency is None else self.recency[chosen]
        return Users(self.histories[chosen], self.tier_names[chosen], queries, metadata, weights, order, recency)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Which tier answers, one name a user."""
        return tuple(self.tier_names.tolist())

    @cached_property
    def are_plain(self) -> bool:
        """Whether everybody is answered by a history, with nothing beside it."""
        return len(self) > 0 and self.weights is None and bool((self.tier_names == HISTORY).all())

    @property
    def encoded(self) -> BoolArray:
        """Whose scores are the model's, shape (n,)."""
        return np.isin(self.tier_names, ENCODED)

    @property
    def weighted(self) -> Int64Array:
        """Rows of those with whom segment popularity counts beside the tier."""
        return np.zeros(0, np.int64) if self.weights is None else np.flatnonzero(self.weights)


class FallbackChain:
    """Answers for any user from one bundle.

    Args:
        bundle: what answers.
        index: searched instead of the bundle's own; over the same item vectors.

    Attributes:
        bundle: what answers.
        is_new: items that nobody had touched, whose vectors come from their content, shape (n_items,).
    """

    def __init__(self, bundle: Bundle, index: Index | None = None) -> None:
        self.bundle = bundle
        # Asked for once: looking at what a protocol asks of a class takes as long as a small search.
        self._factorized = bundle.model if isinstance(bundle.model, FactorizedRecommender) else None
        self._sequential = bundle.model if takes_order(bundle.model) else None
        self._is_signed = takes_dislikes(bundle.model)
        self._index = index if index is not None else bundle.index
        self._popularity = bundle.popularity if bundle.tiers.segments is None else bundle.tiers.segments.log_shares
        self.is_new = bundle.popularity == 0 if bundle.tiers.policy.content else np.zeros(len(bundle.items), np.bool_)
        self._has_new = bool(self.is_new.any())

    @cached_property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return len(self.bundle.items)

    @property
    def is_signed(self) -> bool:
        """It takes signed histories, whatever its model does."""
        return True

    @cached_property
    def takes_recency(self) -> bool:
        """Whether the second stage goes by how long ago users and items had their last events."""
        return self.bundle.ranker is not None and self.bundle.ranker.candidates.has_recency

    @cached_property
    def is_sequential(self) -> bool:
        """Whether the model goes by the order of histories."""
        return self._sequential is not None

    @cached_property
    def n_features(self) -> int:
        """Width of the metadata of users; 0 without any."""
        schema = self.bundle.tiers.schema
        return 0 if schema is None else schema.width

    def recommend(
        self,
        histories: csr_array,
        k: int,
        *,
        allowed: BoolArray | None = None,
        excluded: csr_array | None = None,
        keep_seen: bool = False,
        repeat: Repeat = "exclude",
        metadata: csr_array | None = None,
        order: csr_array | None = None,
        tier: str | None = None,
        recency: Recency | None = None,
    ) -> Answers:
        """The k best items of each user.

        Args:
            histories: what is known of each user, shape (n, n_items); an empty row is a user without history, a weight
                below 0 an item that the user dislikes.
            k: at least 1.
            allowed: shape (n_items,), the items that any user may get; all when None.
            excluded: shape (n, n_items), items that this user may not get, besides those in the history.
            keep_seen: as `repeat="allow"`.
            repeat: `allow` to recommend items of the history, too, but for disliked ones; `only` for these alone.
            metadata: what else is known of each user, shape (n, n_features), encoded by the bundle's schema.
            order: of the histories, see `encode`.
            tier: which tier answers all of them, instead of the one that the thresholds name for each.
            recency: of the users, see `encode`.

        Raises:
            ConfigError: k < 1, a mask of another shape, or a tier that this bundle does not have.
            DataError: the histories or metadata are not of this bundle's catalogue and schema, or need an order.
        """
        users = self.encode(histories, metadata, order, tier=tier, recency=recency)
        keeps = keep_seen or repeat != "exclude"
        hidden = _union(_disliked(histories) if keeps else binarise(histories), excluded)
        if repeat == "only":
            found = top_k(_only(self.scores(users), liked(histories)), k, allowed=allowed, excluded=hidden)
        else:
            found = self.search(users, k, allowed=allowed, hidden=hidden)
        return Answers(found.rows, found.scores, users.tiers, self.scorer)

    def encode(
        self,
        histories: csr_array,
        metadata: csr_array | None = None,
        order: csr_array | None = None,
        *,
        tier: str | None = None,
        weight: float = 0.0,
        recency: Recency | None = None,
    ) -> Users:
        """Users by their histories, shape (n, n_items), and metadata: one pass of the encoder.

        Args:
            histories: what is known of each user.
            metadata: shape (n, n_features); passed over where the bundle has no schema for them.
            order: the pattern of what is liked, its data the places in time, above 0, the least recent the smallest;
                shape (n, n_items). Only models that go by order need it, others pass over it.
            tier: which tier answers all of them, instead of what the thresholds name for each.
            weight: of segment popularity beside that tier.
            recency: how long ago the users were last there; only second stages with `takes_recency` go by it, to whom
                it is not known without.

        Raises:
            ConfigError: this bundle does not have the tier.
            DataError: the histories or metadata are not of this bundle's catalogue and schema, or need an order.
        """
        users = self.reached(histories, metadata, tier=tier, weight=weight)
        if recency is not None and len(recency) != len(users):
            raise DataError(f"Recency of {len(recency)} users was given, expected {len(users)}.")
        known = recency if self.takes_recency else None
        users = replace(users, order=order if self._sequential else None, recency=known)
        return replace(users, queries=self._queries(users))

    def reached(
        self,
        histories: csr_array,
        metadata: csr_array | None = None,
        *,
        tier: str | None = None,
        weight: float = 0.0,
    ) -> Users:
        """Who is answered on which tier; arguments and errors as of `encode`, but nobody is encoded."""
        check_histories(histories, self.n_items, signed=True)
        likes = liked(histories)
        schema = self.bundle.tiers.schema
        metadata = None if schema is None else metadata
        if schema is not None and metadata is not None:
            check_metadata(metadata, histories.shape[0], schema.width)
        if tier is not None:
            names = self._everybody(tier, histories.shape[0])
            weights = np.full(len(names), weight, dtype=np.float32) if weight else None
        else:
            names, weights = self._reached(likes, metadata)
        return Users(histories if self._is_signed else likes, names, None, metadata, weights)

    @cached_property
    def tiers(self) -> tuple[str, ...]:
        """Tiers that can answer, from the top of the fallback chain."""
        model, tiers = self.bundle.model, self.bundle.tiers
        conditional = (POSTERIOR, HISTORY, PRIOR) if tiers.schema and takes_metadata(model) else (HISTORY,)
        new = (CONTENT,) if tiers.policy.content else ()
        return (*conditional, *new, *(() if tiers.segments is None else (SEGMENT,)), POPULAR)

    def search(
        self, users: Users, k: int, *, allowed: BoolArray | None = None, hidden: csr_array | None = None
    ) -> TopK:
        """The k best items of each user, shapes (n, k).

        Args:
            users: of `encode`.
            k: at least 1.
            allowed: shape (n_items,), the items that any user may get; all when None.
            hidden: shape (n, n_items), items that this user may not get: nothing else is hidden, not even the history.

        Raises:
            ConfigError: k < 1, or a mask of another shape.
        """
        check_k(k)
        check_masks((len(users), self.n_items), allowed, hidden)
        if users.are_plain and self.bundle.ranker is None:
            return self._by_model(users, k, allowed, hidden)
        rows = np.full((len(users), k), -1, dtype=np.int64)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        for tier, chosen in self._tiers(users):
            if len(chosen):
                theirs = hidden if hidden is None or len(chosen) == len(users) else hidden[chosen]
                found = tier(users[chosen], k, allowed, theirs)
                rows[chosen], scores[chosen] = found.rows, found.scores
        return TopK(rows, scores)

    def score(
        self,
        histories: csr_array,
        metadata: csr_array | None = None,
        order: csr_array | None = None,
        recency: Recency | None = None,
    ) -> Float32Array:
        """Scores of all items, shape (n, n_items), as they are served: what `evaluate` asks for."""
        return self.scores(self.encode(histories, metadata, order, recency=recency))

    def ranks(
        self,
        histories: csr_array,
        metadata: csr_array | None = None,
        order: csr_array | None = None,
        recency: Recency | None = None,
        *,
        k: int,
        hidden: csr_array,
        targets: csr_array,
    ) -> Ranks | None:
        """Lists and places as by `score`, equal but for rounding; see `protocols.RanksTargets`.

        None where the index does not hold the vectors in 8 bits; unknown of users to whose scores something is added,
        who are on no tier of the model, or whose scores are no numbers.
        """
        items: Quantised | None = getattr(self._index, "in_8_bits", None)
        if items is None or not ranks.suits(k, items):
            return None
        users = self.encode(histories, metadata, order, recency=recency)
        if users.queries is None:
            return None
        known = users.encoded & ~self._adjusted(users) & np.isfinite(users.queries).all(axis=1)
        if known.all():
            return ranks.ranks(users.queries, items, k, hidden, targets)
        found, chosen = Ranks.unknown(len(users), k), np.flatnonzero(known)
        some = ranks.ranks(users.queries[chosen], items, k, hidden[chosen], targets[chosen])
        found.rows[chosen], found.first[chosen], found.are_known[chosen] = some.rows, some.first, True
        return found

    def scores(self, users: Users, rows: Int64Array | None = None) -> Float32Array:
        """Scores of the items `rows`, of all when None, by the tier of each user; shape (n, len(rows))."""
        ranker, ranked = self.bundle.ranker, np.flatnonzero(self._ranked(users))
        if ranker is None or not ranked.size:
            return self.first_scores(users, rows)
        scores = self.first_scores(users)
        ranker.rerank(scores, users.histories, ranked, users.recency)
        return scores if rows is None else scores[:, rows]

    def first_scores(self, users: Users, rows: Int64Array | None = None) -> Float32Array:
        """As `scores`, before the second stage."""
        wanted = slice(None) if rows is None else rows
        if users.queries is not None:
            scores = self._products(users, rows)
        elif users.encoded.any():
            scores = self._whole_scores(users)[:, wanted]
        else:
            scores = np.empty((len(users), len(self._popularity[wanted])), dtype=np.float32)
        self._adjust(scores, users, wanted)
        scores[users.tier_names == POPULAR] = self._popularity[wanted]
        segmented = np.flatnonzero(users.tier_names == SEGMENT)
        if segmented.size:
            scores[segmented] = self._segment_scores(users[segmented])[:, wanted]
        return scores

    def scores_of_newcomers(self, users: Users, vectors: Float32Array) -> Float32Array:
        """Scores of items that are not in the bundle, comparable with `scores`, shape (n, n_newcomers).

        Args:
            users: of `encode`, on tiers of a factorised model.
            vectors: of the items, shape (n_newcomers, d).
        """
        policy, queries = self.bundle.tiers.policy, users.queries
        assert queries is not None
        scores = np.asarray(queries @ vectors.T, dtype=np.float32)
        scores[users.tier_names == CONTENT] -= np.float32(policy.lift)
        if users.weights is not None and (weighted := users.weighted).size:
            calibrated = scores[weighted] / np.float32(policy.temperature)
            scores[weighted] = calibrated + users.weights[weighted, None] * self._usual_popularity
        return scores

    def unaided_scores(self, users: Users) -> Float32Array:
        """The same without what popularity adds to them, on the same scale, shape (n, n_items)."""
        scores = self.scores(replace(users, weights=None))
        scores[users.weighted] /= np.float32(self.bundle.tiers.policy.temperature)
        return scores

    def is_bare(self, users: Users) -> bool:
        """Whether everybody gets what the model alone makes of all that is known of them."""
        own = users.tier_names == HISTORY
        if users.metadata is not None and takes_metadata(self.bundle.model):
            own &= np.diff(users.metadata.indptr) == 0
        bare = bool((own | (users.tier_names == POSTERIOR)).all()) and not users.weighted.size
        return bare and not self._ranked(users).any()

    @cached_property
    def similarity(self) -> ItemSimilarity:
        """How alike items are to this model; made once."""
        neighbours = self.bundle.shelves.neighbours
        vectors = None if self._factorized is None else self.item_vectors
        return ItemSimilarity(self.bundle.model, vectors, None if neighbours is None else neighbours.similar)

    @cached_property
    def item_vectors(self) -> Float32Array:
        """Of a factorised model, shape (n_items, d); made once."""
        assert self._factorized is not None
        return self.bundle.index.vectors if self.bundle.index is not None else self._factorized.item_vectors()

    def lists_of(self, ids: Lookup) -> Lists | None:
        """What finds the lists of users with `history_from` known items or more in one compiled call, as `encode` and
        `search` find them; None where it takes more than one, or not only compiled code. It knows the model as it is.

        Args:
            ids: of the items, which JSON has as they are.
        """
        of_model = getattr(self.bundle.model, "compiled_encoder", None)
        items: Quantised | None = getattr(self._index, "in_8_bits", None)
        if of_model is None or items is None or self.bundle.ranker is not None:
            return None
        encoder: Encoder | None = of_model()
        is_whole = encoder is not None and encoder.width + 1 == items.vectors.shape[1]
        return Lists(encoder, items, ids) if encoder is not None and is_whole else None

    @property
    def scorer(self) -> str:
        """What computes the scores of users with a history."""
        return self._first_scorer if self.bundle.ranker is None else RANKER

    @property
    def _first_scorer(self) -> str:
        """The same, before the second stage."""
        return self._index.name if self._index is not None else self.bundle.manifest.model

    def scorers(self, users: Users) -> tuple[str, ...]:
        """The same of each user on a tier of the model: no index is searched where something is added to its scores."""
        if users.are_plain and self.bundle.ranker is None:
            return (self._first_scorer,) * len(users)
        names = np.where(self._adjusted(users), self.bundle.manifest.model, self._first_scorer)
        return tuple(np.where(self._ranked(users), RANKER, names).tolist())

    def sources(self, tiers: Sequence[str] | NDArray[Any], rows: Int64Array) -> list[str]:
        """What put each item there: its tier, or `content` where the model ranked one that nobody had touched."""
        if not self._has_new:
            return [str(tier) for tier in tiers]
        from_content = self.is_new[rows] & np.isin(np.asarray(tiers), ENCODED)
        return [CONTENT if new else str(tier) for new, tier in zip(from_content, tiers, strict=True)]

    def _tiers(self, users: Users) -> list[tuple[Tier, Int64Array]]:
        adjusted = self._adjusted(users)
        return [
            (self._by_model, np.flatnonzero(users.encoded & ~adjusted)),
            (self._by_scores, np.flatnonzero(adjusted)),
            (self._by_segment, np.flatnonzero(users.tier_names == SEGMENT)),
            (self._by_popularity, np.flatnonzero(users.tier_names == POPULAR)),
        ]

    def _adjusted(self, users: Users) -> BoolArray:
        """Whose scores are the model's with something added, shape (n,)."""
        adjusted: BoolArray = (users.tier_names == CONTENT) & bool(self.bundle.tiers.policy.lift)
        adjusted[users.weighted] = True
        return adjusted | self._ranked(users)

    def _ranked(self, users: Users) -> BoolArray:
        """Whose candidates the second stage puts in order, shape (n,)."""
        nobody = np.zeros(len(users), dtype=np.bool_)
        return nobody if self.bundle.ranker is None else np.isin(users.tier_names, RANKED)

    def _products(self, users: Users, rows: Int64Array | None) -> Float32Array:
        """Of queries and item vectors. Where lists are made of them and not by a search, it is of a batch, which is not
        to show in the last bits."""
        assert users.queries is not None
        if rows is None and self._by_blocks is not None:
            return self._block_products(users, self._by_blocks)
        if self._adjusted(users).any():
            return products(users.queries, self.item_vectors, rows)
        return np.asarray(users.queries @ self.item_vectors[slice(None) if rows is None else rows].T)

    @cached_property
    def _by_blocks(self) -> VectorsByRows | None:
        """The model, where its item vectors are too many to be held beside it, and no index holds them."""
        model = self.bundle.model
        if self.bundle.index is not None or self._factorized is None or not isinstance(model, VectorsByRows):
            return None
        return model if self.n_items * model.some_item_vectors(0, 1).size > MOST_HELD else None

    def _block_products(self, users: Users, model: VectorsByRows) -> Float32Array:
        assert users.queries is not None
        queries, found = users.queries, np.empty((len(users), self.n_items), dtype=np.float32)
        multiplied = products if self._adjusted(users).any() else _times
        for start in range(0, self.n_items, BLOCK):
            some = slice(start, min(start + BLOCK, self.n_items))
            found[:, some] = multiplied(queries, model.some_item_vectors(some.start, some.stop))
        return found

    def _adjust(self, scores: Float32Array, users: Users, wanted: Int64Array | slice) -> None:
        """Add to scores of the model, shape (n, len(wanted)), what else counts, in place."""
        content = np.flatnonzero(users.tier_names == CONTENT)
        if content.size and (lift := self.bundle.tiers.policy.lift):
            scores[content] -= np.float32(lift) * self.is_new[wanted]
        if users.weights is not None and (weighted := users.weighted).size:
            segments = self._segment_scores(users[weighted])[:, wanted]
            segments[:, self.is_new[wanted]] = self._usual_popularity
            calibrated = scores[weighted] / np.float32(self.bundle.tiers.policy.temperature)
            scores[weighted] = calibrated + users.weights[weighted, None] * segments

    def _reached(self, histories: csr_array, metadata: csr_array | None) -> tuple[StrArray, Float32Array | None]:
        """Tier of each user, and the weight of segment popularity beside it, shapes (n,)."""
        policy, lengths = self.bundle.tiers.policy, np.diff(histories.indptr)
        described = np.zeros(len(lengths), np.bool_) if metadata is None else np.diff(metadata.indptr) > 0
        names = policy.tiers(lengths, described)
        if policy.content:
            owners = np.repeat(np.arange(len(lengths)), lengths)
            familiar = np.bincount(owners, weights=~self.is_new[histories.indices], minlength=len(lengths))
            names = np.where((lengths > 0) & (familiar == 0), CONTENT, names)
        return names, policy.weights(lengths, described) if policy.are_weighted else None

    def _everybody(self, tier: str, n: int) -> StrArray:
        if tier not in self.tiers:
            raise ConfigError(f"This bundle has no tier {tier!r}; there are: {', '.join(self.tiers)}.")
        return np.full(n, tier)

    def _queries(self, users: Users) -> Float32Array | None:
        """What the model makes of what each tier goes by."""
        model, histories, metadata, names = self._factorized, users.histories, users.metadata, users.tier_names
        if model is None or not (users.are_plain or np.isin(names, ENCODED).any()):
            return None
        if self._sequential is not None:
            return self._sequential.encode(histories, order=users.order)
        if not takes_metadata(model):
            return model.encode(histories)
        shown = None if metadata is None else only_rows(metadata, np.isin(names, BY_METADATA))
        return model.encode(only_rows(histories, names != PRIOR), shown)

    def _whole_scores(self, users: Users) -> Float32Array:
        """Of all items, by a model that is not factorised, shape (n, n_items)."""
        if self._sequential is not None:
            return self._sequential.score(users.histories, order=users.order)
        return self.bundle.model.score(users.histories)

    def _by_model(self, users: Users, k: int, allowed: BoolArray | None, hidden: csr_array | None) -> TopK:
        if self._index is not None and users.queries is not None:
            return self._index.search(users.queries, k, allowed, hidden)
        return self._by_scores(users, k, allowed, hidden)

    def _by_scores(self, users: Users, k: int, allowed: BoolArray | None, hidden: csr_array | None) -> TopK:
        return top_k(self.scores(users), k, allowed=allowed, excluded=hidden)

    def _by_segment(self, users: Users, k: int, allowed: BoolArray | None, hidden: csr_array | None) -> TopK:
        return top_k(self._segment_scores(users), k, allowed=allowed, excluded=hidden)

    def _segment_scores(self, users: Users) -> Float32Array:
        segments = self.bundle.tiers.segments
        assert segments is not None
        nothing = csr_array((len(users), segments.n_features), dtype=np.float32)
        return segments.score(nothing if users.metadata is None else users.metadata)

    @cached_property
    def _usual_popularity(self) -> np.float32:
        """Of the item of an average interaction: what a new item counts as beside the model, as nobody knows better."""
        segments = self.bundle.tiers.segments
        assert segments is not None
        return np.float32(np.exp(segments.log_shares) @ segments.log_shares)

    def _by_popularity(self, users: Users, k: int, allowed: BoolArray | None, hidden: csr_array | None) -> TopK:
        n = len(users)
        if hidden is not None and hidden.nnz:
            return top_k(np.tile(self._popularity, (n, 1)), k, allowed=allowed, excluded=hidden)
        same = top_k(self._popularity[None, :].copy(), k, allowed=allowed)
        return TopK(np.repeat(same.rows, n, axis=0), np.repeat(same.scores, n, axis=0))


def _times(queries: Float32Array, vectors: Float32Array) -> Float32Array:
    return np.asarray(queries @ vectors.T)


def _only(scores: Float32Array, pattern: csr_array) -> Float32Array:
    """Scores of the entries of a pattern, -inf elsewhere, shape (n, n_items)."""
    found = np.full_like(scores, -np.inf)
    rows = np.repeat(np.arange(len(scores)), np.diff(pattern.indptr))
    found[rows, pattern.indices] = scores[rows, pattern.indices]
    return found


def _disliked(histories: csr_array) -> csr_array | None:
    against = disliked(histories)
    return binarise(against) if against.nnz else None


def _union(first: csr_array | None, second: csr_array | None) -> csr_array | None:
    if first is None or second is None:
        return second if first is None else first
    if first.shape != second.shape:
        raise ConfigError(f"excluded has shape {second.shape}, expected {first.shape}, as the histories.")
    union = csr_array(first + second)
    union.sort_indices()
    return union

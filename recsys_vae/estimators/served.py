"""ServedModel: the object that batch jobs and the service answer with, asked by ids."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import ITEM, RANK, SCORE, TIER, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError
from recsys_vae.estimators.inputs import Histories, as_histories
from recsys_vae.estimators.metadata import Metadata, encoded
from recsys_vae.estimators.order import order_of_histories
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.recommender import FallbackChain
from recsys_vae.top_k import check_k


class ServedModel:
    """A bundle that is asked by ids; `chain` decides what answers whom.

    Attributes:
        chain: which answers for rows, with all that a request may ask for.
    """

    def __init__(self, chain: FallbackChain) -> None:
        self.chain = chain

    @property
    def bundle(self) -> Bundle:
        """What answers: manifest, model, items, tiers."""
        return self.chain.bundle

    @property
    def items(self) -> IdMap:
        """The catalogue."""
        return self.bundle.items

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self.chain.n_items

    @property
    def is_signed(self) -> bool:
        """It takes signed histories, whatever its model does."""
        return True

    @property
    def n_features(self) -> int:
        """Width of the metadata of users; 0 without any."""
        return self.chain.n_features

    def recommend(
        self,
        histories: Histories,
        k: int = 10,
        *,
        keep_seen: bool = False,
        allowed: Sequence[object] | pl.Series | None = None,
        metadata: Metadata = None,
        dislikes: Histories = None,
    ) -> pl.DataFrame:
        """The k best items of each user, best first: columns user_id, item_id, rank (from 1), score, tier.

        Args:
            histories: ids of one user's items, least recent first; a list of such lists; a mapping of users to them;
                Interactions, a frame, a sparse matrix over the catalogue, or a part of a split. Items that are not
                known are passed over; a user without any gets what is popular. A model that goes by order needs one of
                the first three, a frame with a column timestamp or position, or a part that was cut of such.
            k: at least 1; there are fewer rows where fewer items are allowed.
            keep_seen: also recommend items of the history.
            allowed: ids of the items that may be recommended; all when None.
            metadata: what else is known, by the fields of the bundle's schema: one record a user in the order of the
                histories, a mapping of users to records, or a frame with a column user_id. A part of a split may have
                its own.
            dislikes: what the users dislike, in the forms of `histories`: never recommended to them, and shown to
                models that take it. A part of a split has its own.

        Raises:
            ConfigError: k is no whole number, or below 1.
            DataError: the histories are in no form that is read, ids are of another type than those that the model was
                fitted on, or the bundle takes no metadata.
        """
        check_k(k)
        users, matrix = as_histories(histories, self.items, dislikes)
        known = encoded(metadata, self.bundle.tiers.schema, histories, users)
        order = order_of_histories(histories, self.items) if self.is_sequential else None
        answers = self.chain.recommend(
            matrix, min(k, self.n_items), allowed=self._flags(allowed), keep_seen=keep_seen, metadata=known, order=order
        )
        kept = answers.rows >= 0
        who, place = np.nonzero(kept)
        return pl.DataFrame(
            {
                USER: users.gather(who),
                ITEM: self.items.labels(answers.rows[kept]),
                RANK: place + 1,
                SCORE: answers.scores[kept],
                TIER: pl.Series(answers.tiers, dtype=pl.String).gather(who),
            }
        )

    def similar_items(self, item: object, k: int = 10) -> pl.DataFrame:
        """The k items most similar to one, itself left out, best first: columns item_id, rank (from 1), score.

        Raises:
            ConfigError: k is no whole number, or below 1.
            DataError: the model does not know the item.
        """
        check_k(k)
        row = int(self.items.find([item])[0])
        if row < 0:
            raise DataError(f"The model does not know the item {item!r}: it was not among those it was fitted on.")
        found = self.chain.similarity.similar(row, min(k, self.n_items))
        rows = found.rows[0][found.rows[0] >= 0]
        return pl.DataFrame(
            {ITEM: self.items.labels(rows), RANK: np.arange(1, len(rows) + 1), SCORE: found.scores[0][: len(rows)]}
        )

    def with_metadata(self, part: HeldOut, user_metadata: Metadata) -> HeldOut:
        """A part of a split with metadata of its users, for `evaluate`; in the forms that `recommend` takes.

        Raises:
            DataError: they are in no form that is read, or the bundle takes none.
        """
        known = encoded(user_metadata, self.bundle.tiers.schema, part, part.users.labels())
        return replace(part, metadata=known)

    @property
    def is_sequential(self) -> bool:
        """Whether the model goes by the order of histories."""
        return self.chain.is_sequential

    def score(
        self, histories: csr_array, metadata: csr_array | None = None, order: csr_array | None = None
    ) -> Float32Array:
        """Scores of all items, shape (n, n_items), as they are served: what `evaluate` asks for."""
        return self.chain.score(histories, metadata, order)

    def _flags(self, allowed: Sequence[object] | pl.Series | None) -> BoolArray | None:
        if allowed is None:
            return None
        if isinstance(allowed, str) or not isinstance(allowed, Iterable):
            raise DataError(f"allowed is a list of item ids, got {allowed!r}. Write [{allowed!r}] for one item.")
        rows: Int64Array = self.items.find(allowed if isinstance(allowed, pl.Series | np.ndarray) else list(allowed))
        flags = np.zeros(self.n_items, np.bool_)
        flags[rows[rows >= 0]] = True
        return flags


def load(path: str | Path) -> ServedModel:
    """Read and verify a bundle, of `save`, `recsys train` or `recsys publish`.

    Raises:
        BundleError: it is damaged, or of another version.
        MissingExtraError: it has an approximate index, and FAISS is not installed.
    """
    return ServedModel(FallbackChain(Bundle.load(Path(path))))

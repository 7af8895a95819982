"""ServedModel: the object that batch jobs and the service answer with, asked by ids."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import ITEM, RANK, SCORE, TIER, USER
from recsys_vae.data.features import Record
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError
from recsys_vae.estimators.inputs import Histories, as_histories
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.recommender import FallbackChain


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
        return len(self.items)

    @cached_property
    def n_features(self) -> int:
        """Width of the metadata of users; 0 without any."""
        schema = self.bundle.tiers.schema
        return 0 if schema is None else schema.width

    def recommend(
        self,
        histories: Histories,
        k: int = 10,
        *,
        keep_seen: bool = False,
        allowed: Sequence[object] | pl.Series | None = None,
        metadata: Sequence[Record] | None = None,
    ) -> pl.DataFrame:
        """The k best items of each user, best first: columns user_id, item_id, rank (from 1), score, tier.

        Args:
            histories: ids of one user's items; a list of such lists; a mapping of users to them; Interactions, a frame,
                a sparse matrix over the catalogue, or a part of a split. Items that are not known are passed over; a
                user without any gets what is popular.
            k: at least 1; there are fewer rows where fewer items are allowed.
            keep_seen: also recommend items of the history.
            allowed: ids of the items that may be recommended; all when None.
            metadata: what else is known, one record a user, by the fields of the bundle's schema.

        Raises:
            ConfigError: k < 1.
            DataError: the histories are in no form that is read, ids are of another type than those that the model was
                fitted on, or the bundle takes no metadata.
        """
        users, matrix = as_histories(histories, self.items)
        encoded = None if metadata is None else self._encode(metadata, len(users))
        answers = self.chain.recommend(
            matrix, min(k, self.n_items), allowed=self._flags(allowed), keep_seen=keep_seen, metadata=encoded
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
            ConfigError: k < 1.
            DataError: the model does not know the item.
        """
        row = int(self.items.find([item])[0])
        if row < 0:
            raise DataError(f"The model does not know the item {item!r}: it was not among those it was fitted on.")
        found = self.chain.similar(row, min(k, self.n_items))
        rows = found.rows[0][found.rows[0] >= 0]
        return pl.DataFrame(
            {ITEM: self.items.labels(rows), RANK: np.arange(1, len(rows) + 1), SCORE: found.scores[0][: len(rows)]}
        )

    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Scores of all items, shape (n, n_items), as they are served: what `evaluate` asks for."""
        return self.chain.scores(self.chain.encode(histories, metadata))

    def _flags(self, allowed: Sequence[object] | pl.Series | None) -> BoolArray | None:
        if allowed is None:
            return None
        rows: Int64Array = self.items.find(allowed)
        flags = np.zeros(self.n_items, np.bool_)
        flags[rows[rows >= 0]] = True
        return flags

    def _encode(self, metadata: Sequence[Record], n: int) -> csr_array:
        schema = self.bundle.tiers.schema
        if schema is None or len(metadata) != n:
            raise DataError(
                f"{len(metadata)} records of metadata were given for {n} users"
                + (", and this model takes none." if schema is None else ".")
            )
        return schema.encode(metadata)


def load(path: str | Path) -> ServedModel:
    """Read and verify a bundle, of `save`, `recsys train` or `recsys publish`.

    Raises:
        BundleError: it is damaged, or of another version.
        MissingExtraError: it has an index, and FAISS is not installed.
    """
    return ServedModel(FallbackChain(Bundle.load(Path(path))))

"""Facts about items: what metrics beyond accuracy ask of the catalogue."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.attributes import Attributes, Float64Array, column_of, numbers_of, unit_rows
from recsys_vae.errors import ConfigError


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """What is known of the items besides who is to find them.

    Attributes:
        counts: training users of each item, shape (n_items,); None where nobody says.
        table: a row an item in row order, with columns of metadata; None where there are none.
        training: what behaviour is compared by, shape (n_users, n_items); None where nothing is to be.
    """

    counts: NDArray[np.integer] | None = None
    table: pl.DataFrame | None = None
    training: csr_array | None = None
    _attributes: dict[str, Attributes] = field(default_factory=dict, repr=False)
    _numbers: dict[str, Float64Array] = field(default_factory=dict, repr=False)

    def attributes(self, column: str) -> Attributes:
        """Which values each item has.

        Raises:
            ConfigError, UnknownNameError: there is no metadata, or no such column.
        """
        if column not in self._attributes:
            self._attributes[column] = Attributes.of(self._column(column))
        return self._attributes[column]

    def numbers(self, column: str) -> Float64Array:
        """A number an item, shape (n_items,); 0 where it has none.

        Raises:
            ConfigError, UnknownNameError: there is no metadata, no such column, or it holds no numbers.
        """
        if column not in self._numbers:
            self._numbers[column] = np.nan_to_num(numbers_of(self._column(column)), posinf=0.0, neginf=0.0)
        return self._numbers[column]

    @cached_property
    def surprise(self) -> Float64Array:
        """-log2 of each item's share of all interactions, in bits, shape (n_items,); a count of 0 is one of 1."""
        counts = np.maximum(self.popularity, 1.0)
        bits: Float64Array = -np.log2(counts / counts.sum())
        return bits

    @cached_property
    def popularity(self) -> Float64Array:
        """Training users of each item, shape (n_items,).

        Raises:
            ConfigError: nobody says.
        """
        if self.counts is None:
            raise ConfigError("This metric needs the popularity of the items: pass item_counts of the training part.")
        return np.asarray(self.counts, dtype=np.float64)

    @cached_property
    def behaviour(self) -> csr_array:
        """Who touched each item, rows of length 1, shape (n_items, n_users): inner products are cosines.

        Raises:
            ConfigError: there are no interactions to compare items by.
        """
        if self.training is None:
            raise ConfigError(
                "Items are compared by who touched them: pass the training interactions, or name a column."
            )
        return unit_rows(csr_array(self.training.T))

    def _column(self, name: str) -> pl.Series:
        if self.table is None:
            raise ConfigError(
                f"Column {name!r} is one of the items' metadata, and there are none. Ingest with --items."
            )
        return column_of(self.table, name)


NO_FACTS = ItemFacts()

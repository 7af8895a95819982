"""IdMap: external ids (strings) to row numbers and back."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_vae.errors import DataError


class IdMap:
    """A frozen, sorted set of ids; the row number of an id is its place in ascending byte order.

    Looking up is a binary search in one Arrow string column: nothing is hashed, so a hundred million ids cost their
    bytes and no more, and a column that is memory-mapped stays so.

    Raises:
        DataError: `values` holds a null or a duplicate, or is not sorted. Use `from_values` for ids in any order.
    """

    __slots__ = ("_values",)

    def __init__(self, values: pl.Series) -> None:
        if values.dtype != pl.String:
            raise DataError(f"Ids are strings; this column holds {values.dtype}. Cast it to String first.")
        if values.null_count():
            raise DataError(f"{values.null_count()} of {len(values)} ids are null. Remove these rows first.")
        if len(values) > 1 and not bool((values.head(-1) < values.slice(1)).all()):
            raise DataError("Ids must be unique and in ascending byte order. Use IdMap.from_values, which sorts them.")
        self._values = values.set_sorted()

    @classmethod
    def from_values(cls, values: Iterable[str] | pl.Series) -> "IdMap":
        """Take ids in any order, duplicates allowed."""
        series = values if isinstance(values, pl.Series) else pl.Series("id", list(values), dtype=pl.String)
        return cls(series.unique().sort())

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, external_id: str) -> bool:
        return bool(self.rows([external_id])[0] >= 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self._values.equals(other._values)

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __repr__(self) -> str:
        return f"IdMap({len(self)} ids)"

    @property
    def values(self) -> pl.Series:
        """All ids, in row order."""
        return self._values

    def rows(self, ids: Sequence[str] | pl.Series) -> NDArray[np.int64]:
        """Row numbers of `ids`, shape (len(ids),); -1 where an id is unknown."""
        wanted = ids if isinstance(ids, pl.Series) else pl.Series("id", ids, dtype=pl.String)
        if not len(self) or not len(wanted):
            return np.full(len(wanted), -1, dtype=np.int64)
        places = self._values.search_sorted(wanted).to_numpy().astype(np.int64)
        inside = np.minimum(places, len(self) - 1)
        found = (self._values.gather(inside) == wanted).fill_null(False).to_numpy()
        return np.where(found, inside, -1)

    def ids(self, rows: NDArray[np.integer] | Sequence[int]) -> list[str]:
        """External ids of row numbers.

        Raises:
            IndexError: a row lies outside 0 .. len(self) - 1.
        """
        numbers = np.asarray(rows, dtype=np.int64)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= len(self)):
            raise IndexError(f"Rows must lie in 0..{len(self) - 1}, got {numbers.min()}..{numbers.max()}.")
        return self._values.gather(numbers).to_list()

    def fingerprint(self) -> str:
        """SHA-256 over all ids in order, in hexadecimal."""
        digest = sha256(self._values.str.len_bytes().to_numpy().tobytes())
        for part in self._values.to_list():
            digest.update(part.encode())
        return digest.hexdigest()

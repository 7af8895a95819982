"""IdMap: external ids to row numbers and back; kept as strings, given back in the caller's own type."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_vae.data.columns import LONGEST_ID
from recsys_vae.errors import DataError

IdType = type[pl.String] | type[pl.Int64]
"""What the caller's ids are: strings or whole numbers."""


def is_id(text: pl.Expr, longest: int = LONGEST_ID) -> pl.Expr:
    """Whether a text may be the id of a user or an item, wherever it comes from: 1 to 512 characters, none NUL."""
    return text.str.len_chars().is_between(1, longest) & ~text.str.contains("\0", literal=True)


class IdMap:
    """A frozen, sorted set of ids; the row number of an id is its place in ascending byte order.

    Looking up is a binary search in one Arrow string column: nothing is hashed, so a hundred million ids cost their
    bytes and no more, and a column that is memory-mapped stays so.

    Args:
        values: the ids as strings.
        dtype: what they are to the caller. Whole numbers are kept as their digits, perhaps behind zeros that make all
            equally long.

    Raises:
        DataError: `values` holds a null or a duplicate, or is not sorted. Use `from_values` for ids in any order.
    """

    __slots__ = ("_values", "dtype")

    def __init__(self, values: pl.Series, dtype: IdType = pl.String) -> None:
        if values.dtype != pl.String:
            raise DataError(f"Ids are strings; this column holds {values.dtype}. Cast it to String first.")
        if values.null_count():
            raise DataError(f"{values.null_count()} of {len(values)} ids are null. Remove these rows first.")
        if len(values) > 1 and not bool((values.head(-1) < values.slice(1)).all()):
            raise DataError("Ids must be unique and in ascending byte order. Use IdMap.from_values, which sorts them.")
        self._values = values.set_sorted()
        self.dtype = dtype

    @classmethod
    def from_values(cls, values: Iterable[str] | pl.Series) -> "IdMap":
        """Take ids in any order, duplicates allowed."""
        series = values if isinstance(values, pl.Series) else pl.Series("id", list(values), dtype=pl.String)
        return cls(series.unique().sort())

    @classmethod
    def from_labels(cls, labels: pl.Series) -> "IdMap":
        """Take ids in the caller's own type, strings or whole numbers, in any order, duplicates allowed.

        Raises:
            DataError: they are neither, or one is null, empty, too long or holds a NUL.
        """
        texts, dtype = as_texts(labels)
        ids = texts.unique().sort()
        odd = ids.to_frame("id").filter(~is_id(pl.col("id")))["id"]
        if len(odd):
            raise DataError(
                f"Column {labels.name!r} holds {len(odd):,} ids that are none, such as {odd[0][:40]!r}: an id has 1 to "
                f"{LONGEST_ID} characters, none of them NUL. Leave these rows out."
            )
        return cls(ids, dtype)

    @classmethod
    def of_positions(cls, n: int) -> "IdMap":
        """Ids of `n` rows that have none: 0, 1, 2 ..., with leading zeros inside, so that both orders are the same."""
        return cls(
            pl.Series("id", range(n), dtype=pl.Int64).cast(pl.String).str.zfill(len(str(max(n - 1, 0)))), pl.Int64
        )

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

    def take(self, rows: NDArray[np.integer]) -> "IdMap":
        """Some of the ids; `rows` ascending."""
        return IdMap(self._values.gather(rows), self.dtype)

    def find(self, labels: Sequence[object] | pl.Series) -> NDArray[np.int64]:
        """Row numbers of ids in the caller's own type, shape (len(labels),); -1 where an id is unknown.

        Raises:
            DataError: the ids are of another type than those of this map.
        """
        if not len(labels):
            return np.full(0, -1, dtype=np.int64)
        texts, dtype = as_texts(labels if isinstance(labels, pl.Series) else as_series(labels))
        if dtype is not self.dtype:
            words = {pl.String: "strings", pl.Int64: "whole numbers"}
            raise DataError(f"Ids are {words[self.dtype]} here, got {words[dtype]}, such as {labels[0]!r}.")
        if dtype is pl.Int64 and len(self):
            texts = texts.str.zfill(int(self._values.str.len_bytes().min()))  # type: ignore[arg-type]
        return self.rows(texts)

    def labels(self, rows: NDArray[np.integer] | Sequence[int] | None = None) -> pl.Series:
        """Ids in the caller's own type of row numbers, of all when None."""
        values = self._values if rows is None else self._values.gather(np.asarray(rows, dtype=np.int64))
        return values.cast(self.dtype)

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


def as_series(labels: Sequence[object] | NDArray[np.generic]) -> pl.Series:
    """Ids as a column.

    Raises:
        DataError: they are of several types.
    """
    try:
        return pl.Series("id", labels if isinstance(labels, np.ndarray) else list(labels), strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise DataError(f"Ids are all strings or all whole numbers: {error}") from error


def as_texts(labels: pl.Series) -> tuple[pl.Series, IdType]:
    """Ids as strings, and what they were.

    Raises:
        DataError: they are neither strings nor whole numbers that fit 64 bits, or one is null.
    """
    if labels.null_count():
        raise DataError(f"{labels.null_count()} of {len(labels)} ids are null. Remove these rows first.")
    if labels.dtype in (pl.String, pl.Categorical, pl.Enum):
        return labels.cast(pl.String), pl.String
    if labels.dtype.is_integer():
        try:
            return labels.cast(pl.Int64).cast(pl.String), pl.Int64
        except pl.exceptions.PolarsError as error:
            raise DataError(f"Whole numbers as ids fit 64 bits with their sign: {error}") from error
    raise DataError(f"Ids are strings or whole numbers; this column holds {labels.dtype}. Cast it first.")

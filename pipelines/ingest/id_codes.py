"""Ids as whole numbers: each text once, under the number of its first appearance."""

import numpy as np
import polars as pl


class IdCodes:
    """Numbers of the texts met so far; in memory is each text once."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, texts: pl.Series) -> pl.Series:
        """The number of each text, UInt32; null stays null."""
        met = texts.unique(maintain_order=True).drop_nulls()
        codes = [self._codes.setdefault(text, len(self._codes)) for text in met.to_list()]
        if not codes:
            return pl.Series(texts.name, [None] * len(texts), dtype=pl.UInt32)
        return texts.replace_strict(met, pl.Series(codes, dtype=pl.UInt32), return_dtype=pl.UInt32)

    def settle(self) -> tuple[pl.Series, np.ndarray]:
        """All texts in byte order, and of each number its text's place among them (uint32)."""
        texts = pl.Series("id", list(self._codes), dtype=pl.String)
        order = texts.arg_sort().to_numpy()
        places = np.empty(len(order), np.uint32)
        places[order] = np.arange(len(order), dtype=np.uint32)
        return texts.gather(order), places

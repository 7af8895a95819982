"""Ids as whole numbers: each text once, under the number of its first appearance."""

import numpy as np
import polars as pl

from pipelines.ingest.ids import count_forms, drops_zeros, plain_whole_numbers

END_OF_PREFIX = "\x00"


class IdCodes:
    """Numbers of the texts met so far; in memory is each text once.

    Attributes:
        without_zeros: how many texts were whole numbers written as floats, which are the numbers once all are settled.
    """

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._has_prefixes = False
        self.without_zeros = 0

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, texts: pl.Series, prefix: str = "") -> pl.Series:
        """The number of each text, UInt32; null stays null.

        Args:
            prefix: what is put before each id once all are settled; the same text with another prefix is another id.
        """
        if prefix:
            self._has_prefixes = True
            texts = (prefix + END_OF_PREFIX) + texts
        met = texts.unique(maintain_order=True).drop_nulls()
        codes = [self._codes.setdefault(text, len(self._codes)) for text in met.to_list()]
        if not codes:
            return pl.Series(texts.name, [None] * len(texts), dtype=pl.UInt32)
        return texts.replace_strict(met, pl.Series(codes, dtype=pl.UInt32), return_dtype=pl.UInt32)

    def settle(self) -> tuple[pl.Series, np.ndarray]:
        """All texts in byte order, and of each number its text's place among them (uint32)."""
        texts = self._plain(pl.Series("id", list(self._codes), dtype=pl.String))
        order = texts.arg_sort().to_numpy()
        sorted_texts = texts.gather(order)
        # Several numbers may stand for one text by now: 12.0 and 12.
        is_new = (sorted_texts != sorted_texts.shift()).fill_null(True)
        places = np.empty(len(order), np.uint32)
        places[order] = is_new.cum_sum().to_numpy().astype(np.uint32) - 1
        return sorted_texts.filter(is_new), places

    def _plain(self, texts: pl.Series) -> pl.Series:
        """The ids themselves: whole numbers without a point, prefixes put before."""
        prefixes = texts.str.extract(f"^([^{END_OF_PREFIX}]*){END_OF_PREFIX}") if self._has_prefixes else None
        ids = texts if prefixes is None else texts.str.replace(f"^[^{END_OF_PREFIX}]*{END_OF_PREFIX}", "")
        if drops_zeros(count_forms(ids)):
            plain = plain_whole_numbers(ids)
            self.without_zeros = int((plain != ids).sum())
            ids = plain
        return ids if prefixes is None else prefixes.fill_null("") + ids

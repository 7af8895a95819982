"""Ids as whole numbers: each text once, under the number of its first appearance."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl

from pipelines.ingest.ids import count_forms, drops_zeros, plain_whole_numbers
from pipelines.ingest.readers.blocks import FieldColumn
from pipelines.ingest.readers.regular_lines import text_series
from recsys_vae.native.tables import TextCodes, byte_order, codes_of_numbers, tables

LARGEST = 1 << 24
"""Numbers below it are found in a table, and no text is made of them."""
DENSE = 8
"""Numbers are counted where so many times as many as there are reach the largest of them; else sorted."""
POWERS = 10 ** np.arange(1, 9)
"""The least numbers of two to nine digits; those below `LARGEST` have at most eight."""
END_OF_PREFIX = "\x00"


class _Codes(Protocol):
    def __len__(self) -> int: ...

    def encode(self, texts: pl.Series) -> pl.Series:
        """The number of each text, a new one where it is met for the first time; null stays null."""

    def texts(self, first: int) -> pl.Series: ...


class Met(NamedTuple):
    """What of the ids met so far decides how further ones are numbered: whether any was no number, and whether any text
    was no id as it stands.
    """  # fmt: skip

    texts: bool = False
    odd: bool = False


class IdCodes:
    """Numbers of the ids met so far; in memory is each once.

    As long as all ids are whole numbers themselves no text is made of them.

    Attributes:
        without_zeros: how many texts were whole numbers written as floats, which are the numbers once all are settled.
    """

    def __init__(self, met: Met | None = None) -> None:
        """`met`: what others have met, after whose ids these are numbered (`join`)."""
        library = tables()
        self._compiled = None if library is None else TextCodes(library)
        self._codes: _Codes = _PlainCodes() if self._compiled is None else _CompiledCodes(self._compiled)
        self._of_numbers = np.full(1 << 10, TextCodes.EMPTY, np.uint32)
        self._numbers: list[np.ndarray] | None = []
        """What was met, as long as all of it is numbers."""
        self._n_numbers = 0
        self._has_odd = self._has_prefixes = False
        self.without_zeros = 0
        if met is not None:
            self._numbers, self._has_odd = None if met.texts else self._numbers, met.odd

    @classmethod
    def of(cls, texts: pl.Series, *, have_prefixes: bool) -> "IdCodes":
        """Codes as they were when `texts` gave these texts, each once.

        Args:
            have_prefixes: whether any id was encoded with a prefix.
        """
        known = cls()
        for start in range(0, len(texts), LARGEST):
            known.encode(texts.slice(start, LARGEST))
        known._has_prefixes = have_prefixes
        return known

    def __len__(self) -> int:
        return len(self._codes) if self._numbers is None else self._n_numbers

    @property
    def are_numbers(self) -> bool:
        """Whether all of them are whole numbers, of which no text was made."""
        return self._numbers is not None

    @property
    def met(self) -> Met:
        """What was met, here and before."""
        return Met(texts=self._numbers is None, odd=self._has_odd)

    @property
    def has_numbers(self) -> bool:
        """Whether ids were met as numbers, before any that was none."""
        return self._n_numbers > 0

    @property
    def has_prefixes(self) -> bool:
        """Whether any id was encoded with a prefix."""
        return self._has_prefixes

    def all_met(self) -> pl.Series:
        """All ids by their numbers: whole numbers (Int64) as long as there are no others, else texts."""
        return self._codes.texts(0) if self._numbers is None else pl.Series("id", self._met(), dtype=pl.Int64)

    def join(self, ids: pl.Series, met: Met, *, have_prefixes: bool) -> np.ndarray:
        """Of each of another's ids the number here, shape (n,), uint32; new ones where it is met for the first time.

        The numbers are those that the other's ids would have had here: one after the other, as they were met.

        Args:
            ids: as `all_met` gives them.
            met: what the other had met in the end.
            have_prefixes: whether any of them has a prefix.
        """
        self._has_prefixes |= have_prefixes
        self._has_odd |= met.odd
        if self._numbers is None or ids.dtype == pl.String or met.texts:
            self._take_texts()
            texts = ids.cast(pl.String)
            some = [self._codes.encode(texts.slice(start, LARGEST)) for start in range(0, len(texts), LARGEST)]
            return pl.concat(some).to_numpy() if some else np.empty(0, np.uint32)
        numbers = ids.to_numpy()
        self._make_room(int(numbers.max(initial=0)))
        is_new = self._of_numbers[numbers] == TextCodes.EMPTY
        self._add_numbers(numbers[is_new])
        return np.asarray(self._of_numbers[numbers])

    def encode(self, ids: pl.Series, prefix: str = "") -> pl.Series:
        """The number of each id, UInt32; null stays null. Ids are texts, or whole numbers (Int64) for theirs.

        Args:
            prefix: what is put before each id once all are settled; the same text with another prefix is another id.
        """
        if prefix:
            self._has_prefixes = True
            ids = (prefix + END_OF_PREFIX) + ids.cast(pl.String)
        if ids.dtype == pl.Int64:
            codes = None if ids.null_count() else self.encode_numbers(ids.to_numpy())
            if codes is not None:
                return pl.Series(ids.name, codes)
            ids = ids.cast(pl.String)
        self._take_texts()
        return self._codes.encode(ids)

    def encode_numbers(self, ids: np.ndarray) -> np.ndarray | None:
        """The number of each whole number (int64), uint32; None where there is none, or a text must be made of one."""
        return self._encode_numbers(ids) if len(ids) else None

    def encode_fields(self, column: FieldColumn, is_id: Callable[[pl.Series], bool]) -> pl.Series | None:
        """The number of each text of a column, null where it is empty; None where some text is no id as it stands.

        Args:
            is_id: whether all of some texts are ids as they stand.
        """
        if self._compiled is None or self._has_odd:
            return None
        self._take_texts()
        before = len(self)
        codes = pl.Series(column.codes(self._compiled))
        if len(self) > before and not is_id(self.texts(before)):
            # What is no id now has a number, so new ones can no longer be told by their numbers.
            self._has_odd = True
            return None
        return codes.set(codes == TextCodes.EMPTY, None) if codes.max() == TextCodes.EMPTY else codes

    def texts(self, first: int = 0) -> pl.Series:
        """Texts from a number on."""
        return self._codes.texts(first) if self._numbers is None else self._texts_of_numbers()[first:]

    def settle(self) -> tuple[pl.Series, np.ndarray]:
        """All texts in byte order, and of each number its text's place among them (uint32)."""
        if self._numbers is not None:
            return self._settle_numbers(self._met())
        texts = self._plain(self.texts())
        order = texts.arg_sort().to_numpy()
        sorted_texts = texts.gather(order)
        # Several numbers may stand for one text by now: 12.0 and 12.
        is_new = (sorted_texts != sorted_texts.shift()).fill_null(True)
        places = np.empty(len(order), np.uint32)
        places[order] = is_new.cum_sum().to_numpy().astype(np.uint32) - 1
        return sorted_texts.filter(is_new), places

    @staticmethod
    def _settle_numbers(met: np.ndarray) -> tuple[pl.Series, np.ndarray]:
        """As `settle`, of whole numbers, each met once: 12 stands before 120, and that before 13."""
        if len(met) and met.max() < DENSE * len(met):
            library = tables()
            numbers, places_of = _in_byte_order(met) if library is None else byte_order(library, met)
            return pl.Series("id", numbers).cast(pl.String), places_of[met]
        digits = np.searchsorted(POWERS, met, side="right")
        keys = met * POWERS[len(POWERS) - 1 - digits] * len(POWERS) + digits  # below 2^33
        # Numbers are sorted sooner than their places, so each has its place in its lowest bits.
        order = np.sort(keys * LARGEST + np.arange(len(met))) % LARGEST
        places = np.empty(len(order), np.uint32)
        places[order] = np.arange(len(order), dtype=np.uint32)
        return pl.Series("id", met[order]).cast(pl.String), places

    def _plain(self, texts: pl.Series) -> pl.Series:
        """The ids themselves: whole numbers without a point, prefixes put before."""
        prefixes = texts.str.extract(f"^([^{END_OF_PREFIX}]*){END_OF_PREFIX}") if self._has_prefixes else None
        ids = texts if prefixes is None else texts.str.replace(f"^[^{END_OF_PREFIX}]*{END_OF_PREFIX}", "")
        if drops_zeros(count_forms(ids)):
            plain = plain_whole_numbers(ids)
            self.without_zeros = int((plain != ids).sum())
            ids = plain
        return ids if prefixes is None else prefixes.fill_null("") + ids

    def _encode_numbers(self, numbers: np.ndarray) -> np.ndarray | None:
        """None where a number is beyond the table."""
        library = tables()
        if library is None or self._numbers is None:
            return self._encode_by_table(numbers)
        found = codes_of_numbers(library, numbers, self._of_numbers, self._n_numbers)
        if isinstance(found, int):
            if not 0 <= found < LARGEST:
                return None
            self._make_room(found)
            return self._encode_numbers(numbers)
        codes, met = found
        self._numbers.append(met)
        self._n_numbers += len(met)
        return codes

    def _encode_by_table(self, numbers: np.ndarray) -> np.ndarray | None:
        largest = int(numbers.max())
        if numbers.min() < 0 or largest >= LARGEST:
            return None
        self._make_room(largest)
        codes = self._of_numbers[numbers]
        if codes.max() == TextCodes.EMPTY:
            is_new = np.zeros(largest + 1, bool)
            is_new[numbers[codes == TextCodes.EMPTY]] = True
            self._add_numbers(np.flatnonzero(is_new))
            codes = self._of_numbers[numbers]
        return np.asarray(codes)

    def _make_room(self, largest: int) -> None:
        if largest >= len(self._of_numbers):
            size = max(largest + 1, 2 * len(self._of_numbers))
            known, self._of_numbers = self._of_numbers, np.empty(size, np.uint32)
            self._of_numbers[: len(known)] = known
            self._of_numbers[len(known) :] = TextCodes.EMPTY

    def _add_numbers(self, met: np.ndarray) -> None:
        if self._numbers is None:
            self._of_numbers[met] = self._codes.encode(pl.Series(met).cast(pl.String)).to_numpy()
            return
        self._of_numbers[met] = np.arange(self._n_numbers, self._n_numbers + len(met))
        self._numbers.append(met)
        self._n_numbers += len(met)

    def _take_texts(self) -> None:
        """From now on texts have numbers too; those of the numbers that were met stay."""
        if self._numbers is not None:
            self._codes.encode(self._texts_of_numbers())
            self._numbers = None

    def _met(self) -> np.ndarray:
        return np.concatenate(self._numbers) if self._numbers else np.empty(0, np.int64)

    def _texts_of_numbers(self) -> pl.Series:
        return pl.Series("id", self._met()).cast(pl.String)


def _in_byte_order(met: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, each once, in the order of their digits; and of each number from 0 to the largest its place there.

    Numbers of equally many digits stand as they count. So a place is how many of each size come before: of fewer
    digits those up to the first digits of the number, of more those below the number with zeros behind it.
    """
    size = int(met.max()) + 1
    before = np.zeros(size + 1, np.int32)
    before[met + 1] = 1
    numbers = np.flatnonzero(before[1:])
    np.cumsum(before, out=before)  # of each number how many are less
    firsts = [0, *(int(power) for power in POWERS if power < size)]
    of_digits = list(zip(firsts, [*firsts[1:], size], strict=True))
    place = np.empty(len(numbers), np.uint32)
    for digits, (first, end) in enumerate(of_digits):
        some = numbers[before[first] : before[end]]
        total = np.zeros(len(some), np.int32)
        for others, (least, _) in enumerate(of_digits):
            if others < digits:
                until = some // 10 ** (digits - others) + 1
            else:
                until = np.minimum(np.maximum(some * 10 ** (others - digits), least), size)
            total += before[until] - before[least]
        place[before[first] : before[end]] = total
    ordered, places_of = np.empty(len(numbers), np.int64), np.empty(size, np.uint32)
    ordered[place] = numbers
    places_of[numbers] = place
    return ordered, places_of


class _PlainCodes:
    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, texts: pl.Series) -> pl.Series:
        met = texts.unique(maintain_order=True).drop_nulls()
        codes = [self._codes.setdefault(text, len(self._codes)) for text in met]
        if not codes:
            return pl.Series(texts.name, [None] * len(texts), dtype=pl.UInt32)
        return texts.replace_strict(met, pl.Series(codes, dtype=pl.UInt32), return_dtype=pl.UInt32)

    def texts(self, first: int) -> pl.Series:
        return pl.Series("id", list(self._codes)[first:], dtype=pl.String)


class _CompiledCodes:
    def __init__(self, known: TextCodes) -> None:
        self._known = known

    def __len__(self) -> int:
        return len(self._known)

    def encode(self, texts: pl.Series) -> pl.Series:
        sizes = texts.str.len_bytes().fill_null(0).to_numpy().astype(np.uint32)
        starts = np.cumsum(sizes, dtype=np.uint32) - sizes
        codes = pl.Series(texts.name, self._known.add((texts.str.join("").item() or "").encode(), starts, sizes))
        return codes.set(codes == TextCodes.EMPTY, None) if len(codes) and codes.max() == TextCodes.EMPTY else codes

    def texts(self, first: int) -> pl.Series:
        return text_series(*self._known.texts(first))

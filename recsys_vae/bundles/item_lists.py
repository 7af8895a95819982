"""ItemLists: lists without a user: what is popular, popular of late, trending and new, for everybody or for a segment.

With r_i events of item i in the recent window and b_i in the one before it, R and B of all items:

    recent     log p_i,                          p_i = (r_i + 1/2) / sum_j (r_j + 1/2)
    trending   log g_i,                          g_i = (r_i + m) / (e_i + m),   e_i = b_i R / B
    new        minus the days since its first event

Trending is growth over the item's own baseline, and m shrinks towards 1 what few events say: the posterior mean of a
rate ratio with a Gamma(m, m) prior. A segment s has counts of its own, shrunk towards those of everybody, and the
segments that somebody is in are combined as if they were independent, as in segment_popularity:

    p_i|s = (r_si + m p_i) / (R_s + m)           g_i|s = (r_si + m g_i) / (e_si + m),   e_si = b_si R_s / B_s

Source: DuMouchel, Bayesian Data Mining in Large Frequency Tables, The American Statistician 1999, section 2.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of, sparse_of
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.data.features import check_metadata
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.protocols import BoolArray, Float32Array, Tensors
from recsys_vae.settings import from_plain

POPULAR, RECENT, TRENDING, NEW = "popular", "recent", "trending", "new"
LISTS = (POPULAR, RECENT, TRENDING, NEW)
NEVER = -1.0
"""Age of an item that nobody has touched: it is newer than all others."""
LONGEST_DAYS = 36_500.0
BASELINES = 4.0
"""Recent windows that the one before is as long as, by default."""


@dataclass(frozen=True)
class ListRules:
    """What lists and neighbours are made by.

    Attributes:
        recent_days: length of the recent window, up to the latest events.
        baseline_days: length of the window before it.
        shrinkage: m, in events, above 0.
        session_minutes: a session ends where nothing follows for so long.
        bought: kinds of events that count for what is bought together; all that speak for an item when empty.

    Raises:
        ConfigError: a value is out of its range.
    """

    recent_days: float = 7.0
    baseline_days: float = 7.0 * BASELINES
    shrinkage: float = 10.0
    session_minutes: float = 30.0
    bought: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("recent_days", "baseline_days"):
            if not 0 < getattr(self, name) <= LONGEST_DAYS:
                raise ConfigError(
                    f"{name} is a number of days above 0, at most {LONGEST_DAYS:.0f}; got {getattr(self, name)}."
                )
        if not 0 < self.shrinkage <= 1e9:
            raise ConfigError(f"shrinkage is a number of events above 0; got {self.shrinkage}.")
        if not 0 <= self.session_minutes <= LONGEST_DAYS * 1440:
            raise ConfigError(f"session_minutes is a number of minutes from 0; got {self.session_minutes}.")
        if not isinstance(self.bought, tuple | list) or not all(isinstance(kind, str) and kind for kind in self.bought):
            raise ConfigError(f"bought names kinds of events; got {self.bought!r}.")
        object.__setattr__(self, "bought", tuple(self.bought))

    def to_json(self) -> str:
        """As a bundle keeps them."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "ListRules":
        """Read what `to_json` wrote.

        Raises:
            DataError: it is no JSON of rules.
            UnknownNameError: there is a rule that this version does not know.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise DataError(f"The rules of lists are no JSON: {error}.") from error
        if not isinstance(content, dict):
            raise DataError(f"The rules of lists are an object, got {type(content).__name__}.")
        return from_plain(cls, content, "rules of lists")


@dataclass(frozen=True, eq=False)
class Windows:
    """Counts of events in the recent window, and in the one before it.

    Attributes:
        ages: days before the latest events that each item came, `NEVER` for one without events, shape (n_items,).
        recent: events by item, shape (n_items,).
        baseline: likewise.
        segments: by column of the users' metadata, shape (n_features, n_items); empty rows for what is no segment.
        segment_baseline: likewise.
        last_days: day since 1970 of each item's last event, `NEVER` likewise, shape (n_items,); None in bundles from
            before it was kept.
    """

    ages: Float32Array
    recent: Float32Array
    baseline: Float32Array
    segments: csr_array
    segment_baseline: csr_array
    last_days: Float32Array | None = None


@dataclass(frozen=True, eq=False)
class NewcomerCounts:
    """Counts of items that a bundle does not hold, shape (n,) each.

    Attributes:
        users: who have an event of each.
        recent, baseline: events in two windows as long as those of the bundle, of which the former ends now.
    """

    users: Float32Array
    recent: Float32Array
    baseline: Float32Array


@dataclass(frozen=True, eq=False)
class ItemLists:
    """The lists of one bundle.

    Attributes:
        rules: what they were made by.
        windows: None where no event has a time: then there is the list of what is popular only.
    """

    rules: ListRules = field(default_factory=ListRules)
    windows: Windows | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The lists that there are."""
        if self.windows is None:
            return (POPULAR,)
        has_growth = self.windows.recent.sum() > 0 and self.windows.baseline.sum() > 0
        return LISTS if has_growth else (POPULAR, RECENT, NEW)

    def scores(
        self,
        name: str,
        popularity: Float32Array,
        segments: SegmentPopularity | None = None,
        metadata: csr_array | None = None,
    ) -> Float32Array:
        """Scores of all items, shape (n_items,); -inf for those that are not in the list.

        Args:
            name: of the list.
            popularity: users of each item, shape (n_items,).
            segments: popularity by metadata, where there is some.
            metadata: of the segment, shape (1, n_features); None for everybody.

        Raises:
            UnknownNameError: there is no such list.
            DataError: the metadata are of another schema.
        """
        if name not in self.names:
            raise UnknownNameError("list", name, self.names)
        if name == POPULAR:
            return _popular(popularity, segments, metadata)
        assert self.windows is not None
        if metadata is not None:
            check_metadata(metadata, 1, self.windows.segments.shape[0])
        if name == NEW:
            return self._new(metadata, self.windows)
        made = self._recent(metadata, self.windows) if name == RECENT else self._growth(metadata, self.windows)
        is_in = (self.windows.recent > 0) & ((made > 0) | (name == RECENT))
        return np.asarray(np.where(is_in, made, -np.inf), dtype=np.float32)

    def scores_of_newcomers(
        self,
        name: str,
        counts: NewcomerCounts,
        popularity: Float32Array,
        segments: SegmentPopularity | None = None,
    ) -> Float32Array:
        """Scores of items that came after the bundle, comparable with `scores` but for `new`, shape (n,).

        By the same formulas, with the totals of the bundle's items. A segment, whatever it is, thinks of them as
        everybody does: nobody has counted them by segment.

        Args:
            name: of the list, not `new`.
            counts: of the newcomers, in windows as long as these that end now.
            popularity: as of `scores`.
            segments: as of `scores`.

        Raises:
            UnknownNameError: there is no such list.
        """
        if name not in self.names or name == NEW:
            raise UnknownNameError("list", name, self.names)
        if name == POPULAR:
            smoothed = np.log((counts.users + 0.5) / max(float((popularity + 0.5).sum()), 0.5))
            found, is_in = counts.users if segments is None else smoothed, counts.users > 0
            return np.where(is_in, found, -np.inf).astype(np.float32)
        assert self.windows is not None
        recent, baseline, m = self.windows.recent, self.windows.baseline, self.rules.shrinkage
        if name == RECENT:
            found, is_in = np.log((counts.recent + 0.5) / (recent + 0.5).sum(dtype=np.float64)), counts.recent > 0
        else:
            expected = counts.baseline * (float(recent.sum()) / float(baseline.sum()))
            found = np.log((counts.recent + m) / (expected + m))
            is_in = (counts.recent > 0) & (found > 0)
        return np.where(is_in, found, -np.inf).astype(np.float32)

    def _recent(self, metadata: csr_array | None, windows: Windows) -> NDArray[np.float64]:
        smoothed = windows.recent.astype(np.float64) + 0.5
        shares = smoothed / smoothed.sum()
        found: NDArray[np.float64] = np.log(shares)
        m = self.rules.shrinkage
        for part, recent, _ in _segments(metadata, windows):
            found = found + part * (np.log((recent + m * shares) / (recent.sum() + m)) - np.log(shares))
        return found

    def _growth(self, metadata: csr_array | None, windows: Windows) -> NDArray[np.float64]:
        m = self.rules.shrinkage
        growth = (windows.recent + m) / (_expected(windows.recent, windows.baseline) + m)
        found = np.log(growth)
        for part, recent, baseline in _segments(metadata, windows):
            own = (recent + m * growth) / (_expected(recent, baseline) + m)
            found = found + part * (np.log(own) - np.log(growth))
        return found

    def _new(self, metadata: csr_array | None, windows: Windows) -> Float32Array:
        found = -windows.ages
        if metadata is not None and metadata.nnz:
            touched = np.asarray((metadata @ (windows.segments + windows.segment_baseline)).todense()).ravel() > 0
            found = np.where(touched | (windows.ages == NEVER), found, -np.inf)
        return found.astype(np.float32)

    def tensors(self) -> Tensors:
        """What `Windows` holds, as a bundle keeps it; nothing without times."""
        if self.windows is None:
            return {}
        told: Tensors = {name: getattr(self.windows, name) for name in ("ages", "recent", "baseline")}
        if self.windows.last_days is not None:
            told["last_days"] = self.windows.last_days
        for name in ("segments", "segment_baseline"):
            told |= sparse_tensors(name, getattr(self.windows, name))
        return told

    @classmethod
    def from_tensors(cls, rules: ListRules, tensors: Tensors, n_items: int, n_features: int) -> "ItemLists":
        """Read what `tensors` returned.

        Raises:
            DataError: something is missing, of another catalogue or schema, out of range or not finite.
        """
        if not tensors:
            return cls(rules)
        ages, recent, baseline = (floats_of(tensors, name, (n_items,)) for name in ("ages", "recent", "baseline"))
        by_segment = [sparse_of(tensors, name, (n_features, n_items)) for name in ("segments", "segment_baseline")]
        if ((ages < 0) & (ages != NEVER)).any():
            raise DataError("ages holds days below 0.")
        for name, counts in (("recent", recent), ("baseline", baseline), *zip(
            ("segments", "segment_baseline"), (one.data for one in by_segment), strict=True
        )):  # fmt: skip
            if len(counts) and (counts.min() < 0 or counts.max() > 1e12):
                raise DataError(f"{name} holds numbers that are no counts of events.")
        last_days = floats_of(tensors, "last_days", (n_items,)) if "last_days" in tensors else None
        return cls(rules, Windows(ages, recent, baseline, by_segment[0], by_segment[1], last_days))


def sparse_tensors(name: str, matrix: csr_array) -> Tensors:
    """A sparse matrix as `arrays.sparse_of` reads it."""
    return {
        f"{name}.data": matrix.data.astype(np.float32),
        f"{name}.indices": matrix.indices.astype(np.int64),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
    }


def segments_only(metadata: csr_array, segments: BoolArray) -> csr_array:
    """Metadata of users without the columns that are no segments."""
    found = csr_array(metadata * segments[None, :].astype(np.float32))
    found.eliminate_zeros()
    return found


def _popular(popularity: Float32Array, segments: SegmentPopularity | None, metadata: csr_array | None) -> Float32Array:
    if segments is None:
        return popularity.astype(np.float32, copy=True)
    nothing = csr_array((1, segments.n_features), dtype=np.float32)
    return np.asarray(segments.score(nothing if metadata is None else metadata)[0], dtype=np.float32)


def _segments(
    metadata: csr_array | None, windows: Windows
) -> Iterator[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    """Of each segment: its share in the metadata, and its counts by item in both windows."""
    if metadata is None:
        return
    for column, part in zip(metadata.indices.tolist(), metadata.data.tolist(), strict=True):
        one = [column]
        recent, baseline = windows.segments[one], windows.segment_baseline[one]
        if recent.nnz + baseline.nnz and part > 0:
            by_item = [np.asarray(found.todense(), np.float64).ravel() for found in (recent, baseline)]
            yield float(part), by_item[0], by_item[1]


def _expected(recent: NDArray, baseline: NDArray) -> NDArray[np.float64]:  # type: ignore[type-arg]
    """Recent events by item if all had grown alike."""
    total = float(baseline.sum())
    return baseline.astype(np.float64) * (float(recent.sum()) / total if total else 0.0)


__all__ = [
    "BASELINES",
    "LISTS",
    "NEW",
    "POPULAR",
    "RECENT",
    "TRENDING",
    "ItemLists",
    "ListRules",
    "NewcomerCounts",
    "Windows",
]

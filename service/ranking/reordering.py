"""Reordering: the list out of a user's best items: by caps, quotas, calibration and diversity, always of k where k are
allowed.

Quotas add the best items of their groups to what is looked at, however far down these stand; caps look further down
until they have found k.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.attributes import Attributes, several
from recsys_vae.protocols import BoolArray, Int64Array
from recsys_vae.reranking.calibration import choices, wanted_shares
from recsys_vae.reranking.caps import Door
from recsys_vae.reranking.quotas import Reserve, kept
from service.ranking import caps
from service.ranking.mmr import diversifying
from service.ranking.query_resolution import ResolvedQuery
from service.ranking.results import Float64Array, Notice, Query
from service.ranking.served_model import Catalogue
from service.ranking.steps import Steps

CALIBRATED = 1 / 5000
"""Work of a candidate that is compared with the list, in plain requests."""
PART = 20_000
"""Comparisons between two pauses."""
NO_VECTORS = Notice("diversity_not_used", "The model in service has no item vectors to compare: the order is by score.")
CALIBRATED_INSTEAD = Notice("diversity_not_used", "The list is calibrated: diversity counts for nothing beside that.")
NOT_CALIBRATED = Notice(
    "calibration_not_used", "No item of the history has a value in that column: there is nothing to calibrate to."
)

Ranked = tuple[Int64Array, Float64Array]
"""Rows and scores of one list, best first; the scores as they are written, `shortest`."""
Deeper = Callable[[int, BoolArray | None], Ranked]
"""So many of a user's best items, of some only where flags say which."""


def selected(
    catalogue: Catalogue, question: ResolvedQuery, best: Ranked, deeper: Deeper, notices: list[Notice]
) -> Steps[tuple[Ranked, bool]]:
    """The list out of the best items, and whether it could go on.

    Args:
        catalogue: which answers.
        question: what is asked.
        best: `question.depth` of the best items.
        deeper: more of them.
        notices: what is told besides is added to these.
    """
    query, n_left = question.query, question.n_left(len(catalogue))
    if not query.caps and not query.quotas:
        ordered = query.diversity or query.calibration is not None
        found = (yield from _ordered(catalogue, question, best, notices)) if ordered else best
        return found, n_left > len(found[0])
    if not query.quotas and not query.diversity and query.calibration is None:
        return (yield from _walked(catalogue, question, best, deeper))
    before, depth = caps.values_of(question.columns, query.caps, _shown(catalogue, query)), len(best[0])
    while True:
        counts, pool = caps.Counts(query.caps, before), _with_members(question, best, deeper, depth)
        gate = caps.Gate(caps.values_of(question.columns, query.caps, pool[0]), counts)
        rows, scores = yield from _ordered(catalogue, question, pool, notices, _door(question, pool[0], gate))
        if len(rows) == query.k or len(pool[0]) >= n_left:
            break
        depth = max(depth * caps.DEEPER, query.k)
        best = deeper(depth, None)
        yield caps.LOOKED_AT * len(best[0])
    notices += _unmet(question, rows)
    if not query.caps:
        return (rows, scores), n_left > len(rows)
    while not gate.open.any() and len(best[0]) < n_left:
        depth *= caps.DEEPER
        best = deeper(depth, None)
        yield caps.LOOKED_AT * len(best[0])
        others = best[0][~np.isin(best[0], rows)]
        gate = caps.Gate(caps.values_of(question.columns, query.caps, others), counts)
    return (rows, scores), bool(gate.open.any())


def _walked(catalogue: Catalogue, question: ResolvedQuery, best: Ranked, deeper: Deeper) -> Steps[tuple[Ranked, bool]]:
    """The best items that caps let through, and whether there are more of these.

    Once a value is full, nothing with it comes any more: further down only items without such values are looked for.
    """
    query, columns = question.query, question.columns
    counts = caps.Counts(query.caps, caps.values_of(columns, query.caps, _shown(catalogue, query)))
    rows, scores = best[0][:0], best[1][:0]
    looked_at, asked = best[0], question.depth
    while True:
        gate = caps.Gate(caps.values_of(columns, query.caps, best[0]), counts)
        chosen = gate.best_first(query.k - len(rows))
        rows, scores = np.concatenate([rows, best[0][chosen]]), np.concatenate([scores, best[1][chosen]])
        is_full, is_all = len(rows) == query.k, len(best[0]) < asked
        if is_all or (is_full and gate.open.any()):
            return (rows, scores), bool(gate.open.any())
        may_come = ~caps.are_closed(columns, query.caps, counts, len(catalogue))
        may_come[looked_at] = False
        asked = 1 if is_full else max(asked * caps.DEEPER, query.k)
        best = deeper(asked, may_come)
        looked_at = np.concatenate([looked_at, best[0]])
        if is_full:
            return (rows, scores), len(best[0]) > 0
        yield caps.LOOKED_AT * len(best[0])


def shortened(question: ResolvedQuery, found: Ranked, k: int) -> Ranked:
    """The first k of a list, or where quotas hold, the k that keep them."""
    rows, scores = found
    if not question.members or len(rows) <= k:
        return rows[:k], scores[:k]
    places = kept(_flags(question, rows), _wanted(question), k)
    return rows[places], scores[places]


def _with_members(question: ResolvedQuery, best: Ranked, deeper: Deeper, depth: int) -> Ranked:
    """The best items, and the best of each group that a quota speaks of, best first."""
    parts = [best]
    for quota, members in zip(question.query.quotas, question.members, strict=True):
        wanted = min(quota.n, question.query.k)
        if np.count_nonzero(members[best[0]]) < wanted or question.query.caps:
            parts.append(deeper(max(wanted, wanted * depth // question.query.k), members))
    if len(parts) == 1:
        return best
    rows, first = np.unique(np.concatenate([part[0] for part in parts]), return_index=True)
    scores = np.concatenate([part[1] for part in parts])[first]
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def _door(question: ResolvedQuery, rows: Int64Array, gate: caps.Gate) -> Door:
    if not question.members:
        return gate
    return Reserve(_flags(question, rows), _wanted(question), min(question.query.k, len(rows)), gate)


def _flags(question: ResolvedQuery, rows: Int64Array) -> BoolArray:
    """Which quotas each item counts for, shape (len(rows), n_quotas)."""
    return np.stack([members[rows] for members in question.members], axis=1)


def _wanted(question: ResolvedQuery) -> Int64Array:
    return np.array([min(quota.n, question.query.k) for quota in question.query.quotas], dtype=np.int64)


def _unmet(question: ResolvedQuery, rows: Int64Array) -> list[Notice]:
    told = []
    for number, (quota, members) in enumerate(zip(question.query.quotas, question.members, strict=True)):
        found = int(np.count_nonzero(members[rows]))
        if found < quota.n:
            message = f"quotas.{number} asks for {quota.n} items of a group; {found} of them could come."
            told.append(Notice("quota_not_met", message))
    return told


def _ordered(
    catalogue: Catalogue, question: ResolvedQuery, best: Ranked, notices: list[Notice], door: Door | None = None
) -> Steps[Ranked]:
    """The k best that the door lets through, calibrated or diverse where that is asked for."""
    query, (rows, scores) = question.query, best
    if query.calibration is not None:
        if query.diversity and CALIBRATED_INSTEAD not in notices:
            notices.append(CALIBRATED_INSTEAD)
        return (yield from _calibrated(catalogue, question, best, notices, door))
    if query.diversity and not catalogue.chain.similarity.has_directions and NO_VECTORS not in notices:
        notices.append(NO_VECTORS)
    if not query.diversity or not catalogue.chain.similarity.has_directions:
        order = np.arange(min(query.k, len(rows))) if door is None else door.best_first(query.k)
        return rows[order], scores[order]
    directions = catalogue.chain.similarity.directions
    vectors, before = directions(rows), directions(_shown(catalogue, query))
    order = yield from diversifying(scores.astype(np.float32), vectors, before, query.k, query.diversity, door)
    return rows[order], scores[order]


def _calibrated(
    catalogue: Catalogue, question: ResolvedQuery, best: Ranked, notices: list[Notice], door: Door | None
) -> Steps[Ranked]:
    query, (rows, scores) = question.query, best
    assert query.calibration is not None
    history = question.history
    pool, known, shown = _shares(question, (rows, history.ascending, _shown(catalogue, query)))
    weights = history.weights.astype(np.float64)
    if not wanted_shares(known, weights).any() and NOT_CALIBRATED not in notices:
        notices.append(NOT_CALIBRATED)
    chosen: list[int] = []
    at_once = max(1, PART // max(1, len(rows)))
    strength = query.calibration.strength
    for place in choices(scores, pool, known, weights, query.k, strength, shown=shown, door=door):
        chosen.append(place)
        if len(chosen) % at_once == 0:
            yield CALIBRATED * at_once * len(rows)
    return rows[chosen], scores[chosen]


def _shares(question: ResolvedQuery, parts: Sequence[Int64Array]) -> list[csr_array]:
    """p(value | item) of some items, over the same values."""
    assert question.query.calibration is not None
    cells = question.columns[question.query.calibration.column].gather(np.concatenate(parts)).to_list()
    shares = Attributes.of_cells([several(cell) for cell in cells]).shares
    ends = np.cumsum([0, *map(len, parts)])
    return [shares[start:end] for start, end in pairwise(ends)]


def _shown(catalogue: Catalogue, query: Query) -> Int64Array:
    """Rows of the bundle's items that earlier pages showed."""
    shown = np.array(query.after.shown if query.after else (), dtype=np.int64)
    return shown[shown < len(catalogue)]

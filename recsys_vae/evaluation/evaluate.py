"""evaluate: ask a model about held-out users and measure its lists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tqdm import tqdm

from recsys_vae.data.signals import REPEATS, Repeat, hidden_from, shown_to
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, UnknownNameError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.item_facts import NO_FACTS, ItemFacts
from recsys_vae.evaluation.metrics import Disliked, Float64Array, Metric, RankedLists, parse_metric
from recsys_vae.evaluation.ranked_lists import OverallMetric, is_of_users, is_overall
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.evaluation.target_ranks import first_ranks, look_up
from recsys_vae.protocols import (
    NEVER,
    Float32Array,
    Int64Array,
    Ranks,
    Scorer,
    ranks_targets,
    takes_metadata,
    takes_order,
    takes_purchases,
    takes_recency,
)
from recsys_vae.reranking.reranker import Reranker
from recsys_vae.top_k import mask, select

SCORES_AT_ONCE = 2**22
"""Scores held at a time by default; more do not fit the processor's caches and take longer."""
RANKED_AT_ONCE = 10
"""Times as many users are asked for at a time where their lists take no row of scores."""
MOST_SCORES = 2**27
"""Scores held at a time of catalogues so wide that 64 users have more of them."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out.

    Attributes:
        means: metric name to mean over the users counted, without those for whom the metric means nothing; NaN where
            that is everybody. Of metrics of all lists together their value.
        standard_errors: metric name to sd / sqrt(n), over these users; no entry for a metric of all lists together that
            has none, such as `coverage@k`; NaN where one user alone was counted.
        per_user: metric name to values, shape (n_users,), NaN where the metric means nothing for a user; no entry for
            metrics of all lists together.
        rows: rows of the held-out users that were counted, ascending, shape (n_users,).
        target_ranks: place in the list of each target, in storage order of the counted users' targets, shape
            (n_targets,): 1 is best, 0 is not among the first `depth`.
        depth: length of the lists that were looked at; they end where the catalogue does.
        n_left_out: users with nothing to predict.
    """

    means: dict[str, float]
    standard_errors: dict[str, float]
    per_user: dict[str, Float64Array]
    rows: Int64Array
    target_ranks: NDArray[np.int32]
    depth: int
    n_left_out: int

    @property
    def n_users(self) -> int:
        """Users counted."""
        return len(self.rows)


class Measured(NamedTuple):
    """What came out for some users: rank of each target, values of the metrics a user, and the lists, without facts."""

    ranks: NDArray[np.int32]
    values: dict[str, Float64Array]
    lists: RankedLists


class Spread(Protocol):
    """Measures batches of users somewhere else."""

    def __call__(
        self, model: Scorer, held_out: HeldOut, asked: "Questions", batches: Iterator[Int64Array]
    ) -> Iterator[Measured]:
        """As `measured`."""


def measured(model: Scorer, held_out: HeldOut, asked: "Questions", batches: Iterator[Int64Array]) -> Iterator[Measured]:
    """Measure batches of users one after the other.

    Args:
        batches: rows of the held-out users.
    """
    for rows in batches:
        some = held_out.take(rows)
        ranks = _ask(model, some, asked)
        yield _measured(*_lists(ranks.rows, some, asked, ranks.first if asked.whole_catalogue else None), asked)


def measured_lists(rows: Int64Array, users: HeldOut, asked: "Questions") -> Measured:
    """What comes out for users whose lists are known, shape (n_users, depth); -1 at the end."""
    return _measured(*_lists(rows, users, asked, None), asked)


def _measured(lists: RankedLists, ranks: NDArray[np.int32], asked: "Questions") -> Measured:
    values = {metric.name: metric.per_user(lists) for metric in asked.per_user}
    return Measured(ranks, values, replace(lists, facts=NO_FACTS))


def evaluate(
    model: Scorer,
    held_out: HeldOut,
    metrics: Sequence[str],
    *,
    batch_size: int | None = None,
    item_counts: NDArray[np.integer] | None = None,
    progress: bool = False,
    depth: int = 1,
    facts: ItemFacts = NO_FACTS,
    repeat: Repeat = "exclude",
    reranker: Reranker | None = None,
    spread: Spread | None = None,
) -> Evaluation:
    """Ask for lists in batches of users, seen items removed, and measure them; one batch of scores is in memory.

    Args:
        metrics: names as in `parse_metric`.
        batch_size: users asked for at once; by default as many as keep their scores within 16 MiB, at least 64; of
            millions of items, as many as keep them within 512 MiB.
        item_counts: training users of each item, shape (n_items,); needed for novelty. Instead of those of `facts`.
        progress: show a bar of users.
        depth: look at least so deep, for `target_ranks`; the largest k of the metrics where that is more.
        facts: about the items, for metrics beyond accuracy.
        repeat: whether items of the history may stand in the lists, or nothing else. What speaks against never does.
        reranker: makes the first k of each list; what is left follows by score.
        spread: measures batches instead of this process.

    Raises:
        UnknownNameError, ConfigError: a metric's name is wrong, or it needs facts that are not there.
        EmptyDataError: no user has anything to predict.
        DataError: the model's catalogue is not as wide as the split's, or its scores hold NaN.
    """
    if repeat not in REPEATS:
        raise UnknownNameError("treatment of repeats", repeat, REPEATS)
    facts = facts if item_counts is None else replace(facts, counts=item_counts)
    scored_at_once = users_at_once(model.n_items) if batch_size is None else batch_size
    asked = Questions.of(held_out, metrics, facts, depth, repeat, reranker, scored_at_once)
    _check_model(model, held_out, scored_at_once)
    in_one = batch_size is not None or spread is not None or not _may_rank(model, asked)
    values: dict[str, list[Float64Array]] = {metric.name: [] for metric in asked.per_user}
    tallies = {metric.name: metric.tally(model.n_items) for metric in asked.of_all}
    ranks: list[NDArray[np.int32]] = []
    batches = _batches(asked.rows, scored_at_once * (1 if in_one else RANKED_AT_ONCE), progress)
    for found in (spread or measured)(model, held_out, asked, batches):
        ranks.append(found.ranks)
        for name, some in found.values.items():
            values[name].append(some)
        for tally in tallies.values():
            tally.add(replace(found.lists, facts=facts))
    per_user = {name: np.concatenate(parts) for name, parts in values.items()}
    overall = {name: tally.result() for name, tally in tallies.items()}
    means = {name: mean(v) for name, v in per_user.items()} | {name: value for name, (value, _) in overall.items()}
    errors = {name: standard_error(v) for name, v in per_user.items()}
    return Evaluation(
        means={name: means[name] for name in asked.names},
        standard_errors=errors | {name: error for name, (_, error) in overall.items() if np.isfinite(error)},
        per_user=per_user,
        rows=asked.rows,
        target_ranks=np.concatenate(ranks),
        depth=asked.depth,
        n_left_out=held_out.histories.shape[0] - len(asked.rows),
    )


def recommended(
    model: Scorer, held_out: HeldOut, k: int, *, repeat: Repeat = "exclude", reranker: Reranker | None = None
) -> Int64Array:
    """The lists of k that a model gives the users, whether or not they have targets, shape (n_users, k); -1 at the end.

    Args:
        repeat: as of `evaluate`, and so is `reranker`, whose k counts.
    """
    found = []
    batch_size = users_at_once(model.n_items)
    for rows in _batches(np.arange(len(held_out.users)), batch_size, progress=False):
        some = held_out.take(rows)
        scores, histories = scores_of(model, some), some.shown
        mask(scores, excluded=hidden_from(histories, repeat))
        found.append((select(scores, k) if reranker is None else reranker.lists(scores, histories)).rows)
    return np.concatenate(found)


def users_at_once(n_items: int) -> int:
    """Users who are scored together where nothing else is asked for."""
    return max(1, min(64, MOST_SCORES // n_items), SCORES_AT_ONCE // n_items)


def mean(values: Float64Array) -> float:
    """Mean of the values that are numbers; NaN where none is."""
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if counted.size else float("nan")


def standard_error(values: Float64Array) -> float:
    """Standard error of the mean of independent values that are numbers: sd / sqrt(n); NaN below two of them."""
    counted = values[~np.isnan(values)]
    if counted.size < 2:
        return float("nan")
    return float(counted.std(ddof=1) / np.sqrt(counted.size))


@dataclass(frozen=True, eq=False)
class Questions:
    """Who is asked, how deep, and what is measured; `evaluate` makes it."""

    names: tuple[str, ...]
    per_user: tuple[Metric, ...]
    of_all: tuple[OverallMetric, ...]
    rows: Int64Array
    depth: int
    whole_catalogue: bool
    facts: ItemFacts
    repeat: Repeat
    reranker: Reranker | None
    scored_at_once: int

    @classmethod
    def of(
        cls, held_out: HeldOut, names: Sequence[str], facts: ItemFacts, depth: int, repeat: Repeat,
        reranker: Reranker | None, scored_at_once: int,
    ) -> "Questions":  # fmt: skip
        """Those of some metrics; raises as `evaluate`."""
        if isinstance(names, str):
            raise ConfigError(f"metrics is a list of names, got {names!r}. Write [{names!r}] for one.")
        parsed = tuple(dict.fromkeys(parse_metric(name) for name in names))
        rows = np.flatnonzero(entries.row_lengths(held_out.targets))
        if not rows.size:
            raise EmptyDataError(
                f"None of the {len(held_out.users)} held-out users has anything to predict. Make a larger split."
            )
        width = held_out.targets.shape[1]
        if facts.counts is not None and facts.counts.shape != (width,):
            raise ConfigError(f"item_counts has shape {facts.counts.shape}, expected ({width},): one count an item.")
        whole_catalogue = any(metric.k is None for metric in parsed)
        if whole_catalogue and repeat == "only":
            raise ConfigError("mrr asks for the place in the whole catalogue; lists of repeats only end. Write mrr@20.")
        if reranker is not None:
            reranker.check()
        if held_out.disliked_later is None and (lacking := [one.name for one in parsed if isinstance(one, Disliked)]):
            raise ConfigError(
                f"{lacking[0]} needs dislikes in the held-out part, and this split has none. Leave it out."
            )
        return cls(
            names=tuple(metric.name for metric in parsed),
            per_user=tuple(metric for metric in parsed if is_of_users(metric)),
            of_all=tuple(metric for metric in parsed if is_overall(metric)),
            rows=rows,
            depth=max([depth, *(metric.k or 1 for metric in parsed)]),
            whole_catalogue=whole_catalogue,
            facts=facts,
            repeat=repeat,
            reranker=reranker,
            scored_at_once=scored_at_once,
        )


def _check_model(model: Scorer, held_out: HeldOut, batch_size: int) -> None:
    if batch_size < 1:
        raise ConfigError(f"batch_size is a number of users, at least 1; got {batch_size}.")
    if model.n_items != held_out.targets.shape[1]:
        raise DataError(
            f"The model knows {model.n_items} items, the split {held_out.targets.shape[1]}: they belong to different "
            "catalogues. Evaluate a model on the split it was trained on."
        )


def _batches(rows: Int64Array, size: int, progress: bool) -> Iterator[Int64Array]:
    with tqdm(total=rows.size, unit="user", desc="evaluate", disable=not progress) as bar:
        for start in range(0, rows.size, size):
            batch = rows[start : start + size]
            yield batch
            bar.update(batch.size)


def scores_of(model: Scorer, asked: HeldOut) -> Float32Array:
    """Scores of all items for some users, shape (n_users, n_items), with all that the model takes of them."""
    histories, further = _told(model, asked)
    return model.score(*histories, **further)


def _told(model: Scorer, asked: HeldOut) -> tuple[tuple[csr_array, ...], dict[str, Any]]:
    """What a model takes of some users, by place and by name."""
    histories = shown_to(model, asked.shown)
    metadata = () if asked.metadata is None or not takes_metadata(model) else (asked.metadata,)
    further: dict[str, Any] = {"order": asked.order} if takes_order(model) else {}
    if takes_purchases(model):
        further["purchases"] = asked.purchases
    if takes_recency(model):
        further["recency"] = asked.recency
    return (histories, *metadata), further


def _may_rank(model: Scorer, asked: Questions) -> bool:
    """Whether lists may take no row of scores; those of repeats are short of all items but a few."""
    return ranks_targets(model) and asked.reranker is None and asked.repeat != "only"


def _ask(model: Scorer, users: HeldOut, asked: Questions) -> Ranks:
    """Lists and places of all users: of those whom the model does not rank without, by their scores."""
    found = _ranks(model, users, asked) or Ranks.unknown(len(users.users), min(asked.depth, model.n_items))
    rest = np.flatnonzero(~found.are_known)
    for start in range(0, len(rest), asked.scored_at_once):
        chosen = rest[start : start + asked.scored_at_once]
        few = users if len(chosen) == len(users.users) else users.take(chosen)
        found.rows[chosen], found.first[chosen] = _by_scores(scores_of(model, few), few, asked)
    return found


def _ranks(model: Scorer, users: HeldOut, asked: Questions) -> Ranks | None:
    if not ranks_targets(model) or not _may_rank(model, asked):
        return None
    told, further = _told(model, users)
    hidden, k = hidden_from(users.shown, asked.repeat), min(asked.depth, model.n_items)
    targets = users.targets if asked.whole_catalogue else csr_array(users.targets.shape, dtype=np.float32)
    return model.ranks(*told, k=k, hidden=hidden, targets=targets, **further)


def _by_scores(scores: Float32Array, users: HeldOut, asked: Questions) -> tuple[Int64Array, Int64Array]:
    # A maximum is NaN where any score is, so what no list may hold is looked at, too.
    if np.isnan(scores.max(axis=1)).any():
        raise DataError("The model's scores hold NaN: its training has diverged. Lower the learning rate.")
    histories, targets = users.shown, users.targets
    hidden = hidden_from(histories, asked.repeat)
    first = first_ranks(scores, hidden, targets) if asked.whole_catalogue else np.full(len(scores), NEVER)
    mask(scores, excluded=hidden)
    depth = min(asked.depth, scores.shape[1])
    rows = (select(scores, depth) if asked.reranker is None else asked.reranker.prefixed(scores, histories, depth)).rows
    return rows, first


def _lists(
    rows: Int64Array, users: HeldOut, asked: Questions, first_rank: Int64Array | None
) -> tuple[RankedLists, NDArray[np.int32]]:
    histories, targets = users.shown, users.targets
    hits, ranks = look_up(rows, targets)
    if first_rank is not None and asked.reranker is not None:
        first_rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, first_rank)
    relevant = entries.row_lengths(targets)
    later = users.disliked_later
    disliked = None if later is None else look_up(rows, later)[0]
    return RankedLists(rows, hits, relevant, first_rank, asked.facts, histories, targets, disliked), ranks

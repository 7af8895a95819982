"""Hold-out: what neither model has seen, and who is asked for the two.

Either a window of time, everything in a dataset after the later of the two data ends; or the test part of a split that
both were trained on. Its catalogue is the dataset's: each model answers on its own, and what a model does not know, it
misses.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import events_of
from pipelines.dataset.splits import EPOCH, load_split, read_manifest
from pipelines.evaluation.eligibility import check_eligible, data_end, learned_before
from pipelines.evaluation.repeats import part_start
from pipelines.promotion.contenders import Contender, pairings
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.histories import empty_histories
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import BundleError, DataError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.ordered_splits import Events
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Int64Array


@dataclass(frozen=True, eq=False)
class HoldOut:
    """Users who are asked, over the items of the dataset.

    Attributes:
        dataset: that they come from.
        place: in words: which window, or which split.
        asked: users with something to find, without metadata.
        items: of the columns.
        item_counts: users of each item before, shape (n_items,).
        champion: who is asked for the champion; None where there is none.
        challenger: who is asked for the challenger.
        n_of: users who could be asked, where fewer were drawn.
        aged: of a half-life in days the same users, and perhaps others, with weights by it.
        since: when the targets begin, in microseconds since 1970; None where nobody knows.
    """

    dataset: DatasetDir
    place: str
    asked: HeldOut
    items: IdMap
    item_counts: Int64Array
    champion: Bundle | None
    challenger: Bundle
    n_of: int
    aged: Callable[[float], HeldOut] | None = None
    since: int | None = None

    def histories_for(self, bundle: Bundle) -> csr_array:
        """What a bundle is shown of the users, over `items`: weighed by its half-life, below 0 what is disliked."""
        half_life = bundle.signals.half_life
        if half_life == math.inf or self.aged is None:
            return self.asked.shown
        found = self.aged(half_life)
        return found.take(found.users.rows(self.asked.users.values)).shown

    @property
    def n_users(self) -> int:
        """Users who are asked."""
        return len(self.asked.users)

    @property
    def n_known(self) -> int:
        """Those of them who have a history."""
        return int(np.count_nonzero(entries.row_lengths(self.asked.histories)))


def find_hold_out(
    champion: Contender | None,
    challenger: Contender,
    dataset: DatasetDir,
    split: str | None = None,
    *,
    min_users: int = 30,
    max_users: int = 20_000,
) -> HoldOut:
    """The first hold-out that asks enough users, the least substitution first; the largest one where none does.

    Args:
        split: its test part and nothing else; where None, events after both models' data, then the test part of the
            splits, that of the challenger first.

    Raises:
        BundleError: there is none; the message says why, and what to do.
        UnknownNameError: the dataset has no such split.
    """
    found: list[HoldOut] = []
    for hold_out in _candidates(champion, challenger, dataset, split):
        found.append(hold_out)
        if hold_out.n_users >= min_users:
            break
    best = max(found, key=lambda one: one.n_users, default=None)
    if best is None:
        raise BundleError(_nothing(champion, challenger, dataset, split))
    _check_items(best)
    return _drawn(best, max_users)


def _candidates(
    champion: Contender | None, challenger: Contender, dataset: DatasetDir, split: str | None
) -> Iterator[HoldOut]:
    if split is not None:
        yield from _of_split(champion, challenger, dataset, split)
        return
    yield from _windows(champion, challenger, dataset)
    own = {form.manifest.provenance.trained_on.split("/")[0].removeprefix("split:") for form in challenger.forms}
    for name in sorted(dataset.splits(), key=lambda name: (name not in own, name)):
        try:
            yield from _of_split(champion, challenger, dataset, name)
        except DataError:  # it belongs to an earlier making of the dataset
            continue


def _windows(champion: Contender | None, challenger: Contender, dataset: DatasetDir) -> Iterator[HoldOut]:
    """Events after the data of both, where the dataset has times and goes on after that."""
    latest = dataset.latest()
    if latest is None:
        return
    end, events, done = _utc(datetime.fromisoformat(latest)), None, set()
    for mine, theirs in pairings(champion, challenger):
        ends = [data_end(form.manifest.provenance) for form in (mine, theirs) if form is not None]
        known = [moment for moment in ends if moment is not None]
        if len(known) < len(ends) or (after := max(known)) >= end or after in done:
            continue
        done.add(after)
        events = events or events_of(dataset, global_order=True)
        if (hold_out := _after(events, after, end, dataset, mine, theirs)).n_users:
            yield hold_out


def _after(
    events: Events, after: datetime, end: datetime, dataset: DatasetDir, mine: Bundle | None, theirs: Bundle
) -> HoldOut:
    since = (after - EPOCH) // timedelta(microseconds=1) + 1
    in_window = events.order >= since
    before, window = events.interactions(~in_window), events.interactions(in_window).matrix
    order = events.places(~in_window)
    known = HeldOut(
        events.users,
        before.matrix,
        empty_histories(*window.shape),
        dislikes=events.dislikes(~in_window),
        order=order,
    )
    new = ~entries.contains(known.hidden, entries.entry_keys(window))
    asked = replace(known, targets=entries.pick(window, new)).asked()
    place = f"events after {after.isoformat()}, up to {end.isoformat()}"
    counts = before.item_counts()

    def aged(half_life: float) -> HeldOut:
        again = events_of(dataset, global_order=True, half_life=half_life)
        histories = again.interactions(~in_window).matrix
        return replace(known, histories=histories, dislikes=again.dislikes(~in_window))

    return HoldOut(dataset, place, asked, events.items, counts, mine, theirs, len(asked.users), aged, since)


def _of_split(champion: Contender | None, challenger: Contender, dataset: DatasetDir, name: str) -> Iterator[HoldOut]:
    manifest, split = read_manifest(dataset, name), load_split(dataset, name)

    def may_be_asked(form: Bundle | None) -> bool:
        if form is None or learned_before(form, manifest, "test"):
            return True
        try:
            check_eligible(form, dataset, manifest, split, "test")
        except BundleError:
            return False
        return True

    for mine, theirs in pairings(champion, challenger):
        if may_be_asked(mine) and may_be_asked(theirs):
            asked, learned_from = split.test.asked(), split.training_part
            place = f"test part of split {name!r}"
            counts = learned_from.item_counts()
            yield HoldOut(
                dataset,
                place,
                asked,
                split.train.items,
                counts,
                mine,
                theirs,
                len(asked.users),
                lambda half_life: load_split(dataset, name, half_life).test,
                part_start(manifest, "test"),
            )
            return


def _drawn(hold_out: HoldOut, most: int) -> HoldOut:
    if hold_out.n_users <= most:
        return hold_out
    rows = np.sort(np.random.default_rng(0).choice(hold_out.n_users, most, replace=False))
    return replace(hold_out, asked=hold_out.asked.take(rows))


def _check_items(hold_out: HoldOut) -> None:
    for form in (hold_out.champion, hold_out.challenger):
        if form is not None and not (form.items.rows(hold_out.items.values) >= 0).any():
            raise BundleError(
                f"Bundle {form.version} knows none of the {len(hold_out.items):,} items of dataset "
                f"{hold_out.dataset.name!r}: it learned from {form.manifest.provenance.dataset!r}. Name a dataset of "
                "that log: --on DATASET."
            )


def _nothing(champion: Contender | None, challenger: Contender, dataset: DatasetDir, split: str | None) -> str:
    """Why there is no hold-out, and what would be one."""
    where = f"split {split!r} of dataset {dataset.name!r}" if split else f"dataset {dataset.name!r}"
    both = [challenger] if champion is None else [champion, challenger]
    told = "; ".join(_seen(contender) for contender in both)
    latest = dataset.latest()
    ends = f"Its events end at {latest}." if latest else "Not all of its events have a time."
    return (
        f"Nothing in {where} is new to {'both models' if champion else 'the model'}: {told}. {ends} Ingest the log as "
        "it is now and name it, --on DATASET; or train both on one split and name that, --on DATASET/SPLIT."
    )


def _seen(contender: Contender) -> str:
    bundle, end = contender.bundle, contender.data_end
    until = f"up to {end.isoformat()}" if end else "of an unknown time"
    told = f"{bundle.version} has learned from {bundle.manifest.provenance.trained_on or 'unknown data'} {until}"
    if contender.is_published and contender.twin is None:
        told += ", and the bundle that it was published from is not at hand"
    return told


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

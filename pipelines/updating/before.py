"""Before: the interactions and dislikes that a bundle has learned from, found again and recognised by fingerprints.

A bundle carries items, never users, and what a user's new items change depends on the old ones. They lie in the dataset
that it was trained on. Where that has grown since, what was there before is all up to the bundle's training cut-off.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import Taste, in_order, signed_matrix, taste_of, taste_until
from pipelines.dataset.matrices import encode
from pipelines.dataset.splits import load_split
from pipelines.updating.erasure import taste_without
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER, WEIGHT
from recsys_vae.data.ids import IdMap
from recsys_vae.data.signals import SignalRules, dislikes_fingerprint, liked
from recsys_vae.errors import BundleError, DataError, EmptyDataError, UnknownNameError
from recsys_vae.protocols import takes_dislikes

ALL = "all"


def learned_before(bundle: Bundle, places: list[DatasetDir], erased: IdMap) -> Taste:
    """What a bundle has learned from.

    Dislikes are None where its model takes none, and where those that it has learned from are not found.

    Args:
        places: datasets that may hold them, the likeliest first.
        erased: users who may have been left out by an earlier update, as they are by this one.

    Raises:
        BundleError: none of them has the interactions.
    """
    wanted, nearest = bundle.manifest.provenance.dataset_fingerprint, None
    for make in _candidates(bundle, places):
        try:
            found = make()
        except (EmptyDataError, UnknownNameError, DataError):
            continue
        for candidate in (found, taste_without(found, erased)) if len(erased) else (found,):
            if candidate.liked.fingerprint() != wanted:
                continue
            nearest = _with_dislikes_of(bundle, candidate)
            if nearest.disliked is not None or not takes_dislikes(bundle.model):
                return nearest
    if nearest is not None:
        return nearest
    names = " or ".join(repr(place.name) for place in places)
    raise BundleError(
        f"The interactions that {bundle.version} learned from are not found in dataset {names}: no part of it has the "
        f"fingerprint {wanted[:12] or '(none)'} that the bundle names. An update needs them as they were. Name the "
        "dataset that it was trained on with --from and users who were erased since with --erase, or train and publish "
        "again."
    )


def _with_dislikes_of(bundle: Bundle, found: Taste) -> Taste:
    """The same, without dislikes where they are not those that a bundle has learned from."""
    dislikes = csr_array(found.liked.matrix.shape, dtype=np.float32) if found.disliked is None else found.disliked
    is_it = dislikes_fingerprint(dislikes) == bundle.manifest.provenance.dislikes_fingerprint
    return found._replace(disliked=dislikes if is_it else None)


def _candidates(bundle: Bundle, places: list[DatasetDir]) -> Iterator[Callable[[], Taste]]:
    trained_on, cutoff = bundle.manifest.provenance.trained_on, bundle.manifest.provenance.training_cutoff
    kind, _, rest = trained_on.partition(":")
    name, _, part = rest.rpartition("/")
    half_life = bundle.signals.half_life
    for place in places:
        if kind == "split":
            yield lambda place=place: _of_split(place, name, part, half_life)  # type: ignore[misc]
        else:
            yield lambda place=place: taste_of(place, _catalogue(bundle), half_life)  # type: ignore[misc]
    for place in places if cutoff else ():
        yield lambda place=place: _until(place, cutoff, bundle)  # type: ignore[misc]


def _of_split(dataset: DatasetDir, name: str, part: str, half_life: float) -> Taste:
    split = load_split(dataset, name, half_life)
    if part != "refit":
        return Taste(split.train, split.train_dislikes)
    if split.refit is None:
        raise DataError(f"Split {name!r} has no part {part!r}.")
    return Taste(split.refit, split.refit_dislikes)


def _catalogue(bundle: Bundle) -> IdMap | None:
    """The bundle's items where they hold more than somebody has touched, as `publish --new-items` makes them."""
    return bundle.items if bundle.tiers.policy.content else None


def _until(dataset: DatasetDir, cutoff: str | None, bundle: Bundle) -> Taste:
    """What a dataset held when its latest event was that of the cut-off: the same rules applied to fewer events."""
    assert cutoff is not None
    last = datetime.fromisoformat(cutoff)
    time = pl.col(TIMESTAMP)
    moment = pl.lit(last).cast(pl.Datetime("us")).dt.epoch("us")
    events = dataset.signed_events().filter((time.dt.epoch("us") <= moment).fill_null(value=True))
    signed = dataset.dislikes() is not None
    pairs = _liked_in_the_end(events, dataset.signals()) if signed else _one_a_pair(events, dataset.keep()).collect()
    pairs = _core(pairs, *_least(dataset))
    found = encode(pairs.lazy(), items=_catalogue(bundle))
    return taste_until(found, dataset, events, bundle.signals.half_life)


def _one_a_pair(events: pl.LazyFrame, keep: str) -> pl.LazyFrame:
    weight = pl.col(WEIGHT).sort_by(TIMESTAMP, maintain_order=True, nulls_last=keep == "first")
    stands = {"last": weight.last(), "first": weight.first(), "max": pl.col(WEIGHT).max(), "sum": pl.col(WEIGHT).sum()}
    return events.group_by(USER, ITEM).agg(stands[keep])


def _liked_in_the_end(events: pl.LazyFrame, rules: SignalRules) -> pl.DataFrame:
    """One row a pair whose latest event speaks for the item."""
    frame = in_order(events.collect(engine="streaming"))
    users, items = IdMap.from_values(frame[USER].unique()), IdMap.from_values(frame[ITEM].unique())
    found = liked(signed_matrix(frame, users, items, rules)).tocoo()
    return pl.DataFrame(
        {USER: users.values.gather(found.row), ITEM: items.values.gather(found.col), WEIGHT: found.data}
    )


def _least(dataset: DatasetDir) -> tuple[int, int]:
    """Least number of items a user and of users an item, as ingest was told."""
    try:
        rules = json.loads(dataset.summary_path.read_bytes())["rules"]
        return int(rules["min_user"]), int(rules["min_item"])
    except (OSError, ValueError, KeyError, TypeError):
        return 1, 1


def _core(pairs: pl.DataFrame, min_user: int, min_item: int) -> pl.DataFrame:
    """The k-core of fewer events lies within that of all of them, so that it is found from what is left."""
    height = -1
    while pairs.height != height:
        height = pairs.height
        pairs = pairs.filter(pl.len().over(USER) >= min_user).filter(pl.len().over(ITEM) >= min_item)
    return pairs

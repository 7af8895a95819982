"""Eligibility: which bundle may be asked about a part of a split, so that its figures are honest.

One that has learned from the training part of that split; or one whose data end before the part's window begins,
whatever it was trained on: it cannot have seen what it is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import Temporal
from pipelines.dataset.splits import SplitManifest, load_split
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import BundleError
from recsys_vae.evaluation.entries import pick
from recsys_vae.evaluation.splits import HeldOut, Split, onto_items
from recsys_vae.protocols import Int64Array

ALL = "all"
"""What `trained_on` says of a published bundle."""


@dataclass(frozen=True, eq=False)
class Questions:
    """What a bundle is asked, over its own catalogue.

    Attributes:
        held_out: the users.
        learned_from: what baselines may learn from.
        n_unknown: targets that are left out, as the bundle does not know the items.
        dislikes: of the users of `learned_from`, of its shape; None where the dataset has none.
    """

    held_out: HeldOut
    learned_from: Interactions
    n_unknown: int = 0
    dislikes: csr_array | None = None


def questions_for(bundle: Bundle, dataset: DatasetDir, manifest: SplitManifest, split: Split, part: str) -> Questions:
    """What a part of a split asks a bundle.

    Raises:
        BundleError: its figures would not be honest, or it knows none of the items.
    """
    _check_second_stage(bundle, manifest, part)
    held_out, learned_from = split.part(part), split.training_part if part == "test" else split.train
    dislikes = split.training_dislikes if part == "test" else split.train_dislikes
    reason = _why_not(bundle, dataset, manifest, split, part)
    if not reason:
        return Questions(held_out, learned_from, dislikes=dislikes)
    if not learned_before(bundle, manifest, part):
        raise BundleError(reason)
    if not (bundle.items.rows(split.train.items.values) >= 0).any():
        raise BundleError(
            f"Bundle {bundle.version} knows none of the {split.train.n_items:,} items of split {manifest.name!r}: it "
            f"learned from dataset {bundle.manifest.provenance.dataset!r}. Evaluate it on a split of that log."
        )
    asked = held_out.onto(split.train.items, bundle.items)
    dislikes = None if dislikes is None else onto_items(dislikes, split.train.items, bundle.items)
    known = Interactions(
        onto_items(learned_from.matrix, split.train.items, bundle.items), learned_from.users, bundle.items
    )
    return Questions(asked, known, int(held_out.targets.nnz - asked.targets.nnz), dislikes)


def _check_second_stage(bundle: Bundle, manifest: SplitManifest, part: str) -> None:
    """Raise BundleError where a bundle's second stage has learned from what is asked."""
    is_of_split = bundle.manifest.provenance.trained_on.startswith(f"split:{manifest.name}/")
    if part == "validation" and bundle.ranker is not None and is_of_split:
        raise BundleError(
            f"The second stage of bundle {bundle.version} has learned from the validation part of split "
            f"{manifest.name!r}. Evaluate it on the test part."
        )


def asked_alike(bundles: Sequence[Bundle], questions: Sequence[Questions]) -> list[Questions]:
    """The same questions with the targets that all bundles know, so that their figures can be compared."""
    first, *others = (bundle.items for bundle in bundles)
    if all(items == first for items in others):
        return list(questions)
    common = first.values.filter(np.logical_and.reduce([items.rows(first.values) >= 0 for items in others]))
    return [_only(asked, bundle.items.rows(common)) for asked, bundle in zip(questions, bundles, strict=True)]


def _only(questions: Questions, columns: Int64Array) -> Questions:
    """Targets in these columns alone; the others count as unknown."""
    held_out = questions.held_out
    targets = pick(held_out.targets, np.isin(held_out.targets.indices, columns))
    n_unknown = questions.n_unknown + int(held_out.targets.nnz - targets.nnz)
    return replace(questions, held_out=replace(held_out, targets=targets), n_unknown=n_unknown)


def check_eligible(bundle: Bundle, dataset: DatasetDir, manifest: SplitManifest, split: Split, part: str) -> None:
    """Refuse a bundle that has not learned from the training part of this very split.

    Raises:
        BundleError: it has learned from the held-out users, from another split, or from an earlier making of this one;
            or it knows other items.
    """
    if reason := _why_not(bundle, dataset, manifest, split, part):
        raise BundleError(reason)


def learned_before(bundle: Bundle, manifest: SplitManifest, part: str) -> bool:
    """Whether all that a bundle has learned from lies before the window of a part; False where times are not known."""
    cutoff, start = data_end(bundle.manifest.provenance), window_start(manifest, part)
    return cutoff is not None and start is not None and cutoff < start


def data_end(origin: Provenance) -> datetime | None:
    """Time of the latest event that a bundle has learned from; None where it does not say."""
    return _moment(origin.training_cutoff)


def check_repeats(bundle: Bundle, manifest: SplitManifest, part: str) -> None:
    """Refuse a repeat-purchase head that may have learned from the window of a part.

    Raises:
        BundleError: it has, or does not say until when its events go.
    """
    cutoff, start = _moment(bundle.manifest.provenance.repeat_cutoff), window_start(manifest, part)
    if cutoff is None or start is None or cutoff >= start:
        until = "it does not say until when" if cutoff is None else f"up to {cutoff.isoformat()}"
        raise BundleError(
            f"The repeat-purchase head of {bundle.version} may have seen what it would be asked in the {part} part of "
            f"split {manifest.name!r}: {until}. Train the bundle on that split and learn the head anew: recsys "
            "learn-repeats goes no further than the bundle."
        )


def window_start(manifest: SplitManifest, part: str) -> datetime | None:
    """First moment of a window; the recipe names it in splits that were made before windows were kept."""
    recipe = manifest.recipe
    if part in manifest.windows or not isinstance(recipe, Temporal):
        return manifest.windows.get(part)
    named = {"validation": recipe.validation_from, "test": recipe.test_from}[part]
    return None if named is None else _in_utc(named)


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else _in_utc(datetime.fromisoformat(text))
    except ValueError:
        return None


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _why_not(bundle: Bundle, dataset: DatasetDir, manifest: SplitManifest, split: Split, part: str) -> str:
    """What keeps a bundle from being asked as one of this split; empty where nothing does."""
    origin, half_life = bundle.manifest.provenance, bundle.signals.half_life
    if half_life != split.half_life:
        split = load_split(dataset, manifest.name, half_life)
    allowed = {f"split:{manifest.name}/train": split.train}
    if split.refit is not None and part == "test":
        allowed[f"split:{manifest.name}/refit"] = split.refit
    if origin.trained_on not in allowed:
        return _has_seen(bundle, dataset, manifest, part)
    if bundle.items != split.train.items:
        return (
            f"Bundle {bundle.version} knows {len(bundle.items)} items, split {manifest.name!r} has "
            f"{split.train.n_items}, and they are not the same. The split was made again since: train on it again."
        )
    if origin.dataset_fingerprint and origin.dataset_fingerprint != allowed[origin.trained_on].fingerprint():
        return (
            f"Bundle {bundle.version} was trained on an earlier making of split {manifest.name!r}, so it may have seen "
            f"what it would be asked. Train again: recsys train ... --split {manifest.name}"
        )
    return ""


def _has_seen(bundle: Bundle, dataset: DatasetDir, manifest: SplitManifest, part: str) -> str:
    origin = bundle.manifest.provenance
    what = f"Bundle {bundle.version} cannot be evaluated on the {part} part of split {manifest.name!r}"
    remedy = f"Evaluate one that was trained on it: recsys train {dataset.name} --split {manifest.name} ..."
    if origin.trained_on == ALL:
        return f"{what}: {_published(bundle, dataset, manifest, part)} {remedy}"
    if origin.trained_on == f"split:{manifest.name}/refit":
        return f"{what}: it was trained again with the validation part included. Evaluate it on the test part."
    if not origin.trained_on:
        return f"{what}: it does not say what it was trained on. {remedy}"
    return f"{what}: it was trained on {origin.trained_on!r}, which may hold what it would be asked. {remedy}"


def _published(bundle: Bundle, dataset: DatasetDir, manifest: SplitManifest, part: str) -> str:
    """Why a published bundle is refused, and on what it can be measured."""
    cutoff, start = data_end(bundle.manifest.provenance), window_start(manifest, part)
    kept = "The figures of the model it was published from stand in its manifest."
    if cutoff is None:
        return f"it was retrained on all data, which may hold the answers, and it does not say when they end. {kept}"
    later = (
        "To measure it, cut newer events of the same log after that moment: "
        f"recsys split {dataset.name} --protocol temporal --validation-from DAY --test-from DAY."
    )
    if start is None:
        return f"it was retrained on all data up to {cutoff.isoformat()}, the answers perhaps included. {kept} {later}"
    return (
        f"it was retrained on all data up to {cutoff.isoformat()}, and the window begins at {start.isoformat()}. "
        f"{kept} {later}"
    )

"""Models that are trained for a second stage: those that stand beside a bundle's own, and all of them on less.

Trees learn from what users of the validation part took, so from models that have not seen it. Where the models of a
bundle were trained again with that part included, as on a split in time, they are fitted once more without it; what the
trees learn over these goes onto those that have seen more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split, read_manifest
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.eligibility import check_eligible
from pipelines.evaluation.impressions import read_outcomes
from pipelines.training.decay import Decay
from pipelines.training.fallback_policy import learn_again
from pipelines.training.fit import Fitted, ModelSpec, fit, spec_told
from pipelines.training.item_inputs import item_metadata_for
from pipelines.training.publish import spec_of, split_of
from pipelines.training.train import metadata_for, origin, unwritten
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.second_stage import check_further
from recsys_vae.errors import BundleError, MissingExtraError
from recsys_vae.evaluation.splits import Split
from recsys_vae.extras import is_installed
from recsys_vae.models import catalog
from recsys_vae.second_stage.learning import LearningConfig, Lists, check_enough

REFIT = "/refit"


@dataclass(frozen=True, eq=False)
class Contributors:
    """Bundles whose models find candidates, the first of them being the first stage.

    Attributes:
        learning: over which trees are learned; none has seen the validation part.
        shipped: over which they are put, of the same models in the same order.
    """

    learning: list[Bundle]
    shipped: list[Bundle]


def specs_like(bundle: Bundle) -> list[ModelSpec]:
    """The models beside the first in a second stage, as they were trained.

    Raises:
        BundleError: there is no second stage.
    """
    if bundle.ranker is None:
        raise BundleError(f"{bundle.version} has no second stage whose models could be trained again.")
    return [spec_told(part.model, part.settings, part.training) for part in bundle.ranker_parts]


def contributors(
    bundle: Bundle, others: Sequence[Bundle], dataset: DatasetDir, specs: Sequence[ModelSpec]
) -> Contributors:
    """The bundles for a second stage, some of them trained now.

    Args:
        bundle: the first stage.
        others: trained on the same split.
        dataset: that they were trained on.
        specs: of models that are trained on that split, to stand beside.

    Raises:
        BundleError: the bundle has learned from all data.
        DataError: a model needs more than histories.
    """
    bundle = replace(bundle, ranker=None, ranker_parts=())
    name, is_refit = split_of(bundle), bundle.manifest.provenance.trained_on.endswith(REFIT)
    if not (specs or is_refit):
        return Contributors([bundle, *others], [bundle, *others])
    split = load_split(dataset, name, bundle.signals.half_life)
    for spec in specs:
        check_further(spec.name, catalog.create(spec.name, split.train.n_items, spec.config))
    chosen = [_fitted(spec, dataset, split, 0) for spec in specs]
    beside = [_beside(bundle, spec, one, dataset, split) for spec, one in zip(specs, chosen, strict=True)]
    if not is_refit:
        return Contributors([bundle, *others, *beside], [bundle, *others, *beside])
    print("The models have seen the validation part: each is fitted once more without it, for the trees.", flush=True)
    again = [_fitted(spec, dataset, split, one.epochs, is_refit=True) for spec, one in zip(specs, chosen, strict=True)]
    shipped = [
        _beside(bundle, spec, one, dataset, split, is_refit=True) for spec, one in zip(specs, again, strict=True)
    ]
    less = [_with_less(one, dataset, split) for one in (bundle, *others)]
    return Contributors([*less, *beside], [bundle, *others, *shipped])


def check_before_learning(
    named: Sequence[tuple[Path, Bundle]],
    dataset: DatasetDir,
    config: LearningConfig,
    *,
    impressions: Path | None = None,
) -> None:
    """Refuse what no second stage can be learned from, before any model is trained for it.

    Args:
        named: the bundles and where they are, the first stage first.
        dataset: that they should be trained on.
        config: how trees are to be learned.
        impressions: what users of the validation part were shown, where trees learn from that.

    Raises:
        MissingExtraError: LightGBM is not installed.
        BundleError: a bundle is of another dataset or split, or of an earlier making of it, or of all data.
        DataError: a model beside the first needs more than histories, or too few users can be learned from.
    """
    if not is_installed("lightgbm"):
        raise MissingExtraError("lightgbm", "ranker")
    first_path, first = named[0]
    with _of_bundle(first_path):
        name, wanted = split_of(first), first.manifest.provenance.trained_on
    for path, one in named:
        told = one.manifest.provenance
        if (told.dataset, told.trained_on) != (dataset.name, wanted):
            raise BundleError(
                f"{path} was trained on {told.trained_on or 'nothing it tells of'} of dataset {told.dataset!r}, and "
                f"the second stage of {first_path} on {dataset.name!r} takes models of {wanted}. Train it on that: "
                f"recsys train {dataset.name} --split {name} --model {one.manifest.model} ..."
            )
    split, manifest = load_split(dataset, name, first.signals.half_life), read_manifest(dataset, name)
    for path, one in named:
        with _of_bundle(path):
            check_eligible(one, dataset, manifest, split, "test")  # whoever has seen the validation part is made again
    check_further_bundles(named[1:])
    users = split.validation.users.values.to_numpy()
    if impressions is not None:
        shown = read_outcomes(impressions, split.validation.users, first.items)
        none = np.empty((len(shown.users), 0), dtype=np.float32)
        users = Lists(none, shown.taken, shown.lists, shown.users).informative().users
    check_enough(len(np.unique(users)), config)


def check_further_bundles(named: Sequence[tuple[Path, Bundle]]) -> None:
    """Raise DataError where the model of a bundle cannot stand beside a first stage."""
    for path, one in named:
        check_further(f"{one.manifest.model} of {path}", one.model)


@contextmanager
def _of_bundle(path: Path) -> Iterator[None]:
    """Let an error about a bundle say where that is."""
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _fitted(spec: ModelSpec, dataset: DatasetDir, split: Split, epochs: int, *, is_refit: bool = False) -> Fitted:
    """A model of histories alone; the best epoch is chosen where none is given."""
    learned_from = split.training_part if is_refit else split.train
    return fit(
        spec,
        learned_from.matrix,
        validation=None if epochs or is_refit else split.validation,
        epochs=epochs or None,
        item_metadata=item_metadata_for(spec, dataset, learned_from.items),
        dislikes=split.training_dislikes if is_refit else split.train_dislikes,
    )


def _beside(
    bundle: Bundle, spec: ModelSpec, fitted: Fitted, dataset: DatasetDir, split: Split, *, is_refit: bool = False
) -> Bundle:
    learned_from, dislikes = split.train, split.train_dislikes
    if is_refit:
        learned_from, dislikes = split.training_part, split.training_dislikes
    part = "refit" if is_refit else "train"
    told = replace(origin(dataset, spec, fitted, learned_from, dislikes), trained_on=f"split:{split_of(bundle)}/{part}")
    made = Bundle.unwritten(
        fitted.model, learned_from.items, learned_from.item_counts(), Tiers(), provenance=told, signals=bundle.signals
    )
    return replace(made, manifest=replace(made.manifest, version=f"{spec.name} beside {bundle.version}"))


def _with_less(bundle: Bundle, dataset: DatasetDir, split: Split) -> Bundle:
    """A bundle as it would be of the training part alone."""
    spec, schema, told = spec_of(bundle), bundle.tiers.schema, bundle.manifest.provenance
    known = UserMetadata.learn(dataset, split.train.users) if schema is None else UserMetadata(dataset, schema)
    fitted = fit(
        spec,
        split.train.matrix,
        epochs=told.epochs or None,
        metadata=metadata_for(spec, split.train, known),
        item_metadata=item_metadata_for(spec, dataset, split.train.items),
        dislikes=split.train_dislikes,
        order=split.train_order if spec.takes_order else None,
    )
    window = split.windows.get("validation")
    described = replace(
        origin(dataset, spec, fitted, split.train, split.train_dislikes),
        trained_on=told.trained_on.removesuffix(REFIT) + "/train",
        training_cutoff=dataset.latest(before=window),
    )
    tiers = learn_again(bundle.tiers, split.train, known, Decay(before=window))
    return unwritten(dataset, fitted, split.train, described, tiers, bundle.signals, bundle.shelves.lists.rules)

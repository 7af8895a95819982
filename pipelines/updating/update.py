"""Update: a bundle and a dataset that has grown in, a bundle of the same model that has learned the difference out.

What is kept of the parent: its model and settings, its fallback policy, the trees of its second stage, and the figures
that were measured on it, said to be its own. What is made again: item table, popularity by segment, index, lists,
repeat-purchase head, and the models beside the first in a second stage.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from pipelines.artifacts.mlflow_registry import register_bundle
from pipelines.artifacts.registration import log_outcome, register, registering
from pipelines.artifacts.workspace import clear_workspace
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import Taste, taste_of
from pipelines.dataset.splits import load_split
from pipelines.dataset.user_features import UserMetadata
from pipelines.training.decay import Decay
from pipelines.training.fallback_policy import learn_again
from pipelines.training.item_inputs import item_metadata_for
from pipelines.training.kept_parts import KeptParts
from pipelines.training.new_items import content_map, place, with_new_items
from pipelines.training.publish import spec_of
from pipelines.training.shelves import check_bought
from pipelines.training.train import (
    Output,
    fingerprint_of_dislikes,
    metadata_for,
    order_for,
    origin,
    parameters,
    write_fitted,
)
from pipelines.updating.before import ALL, learned_before
from pipelines.updating.erasure import NOBODY, taste_without
from pipelines.updating.second_stage import check_parts, updated_part
from pipelines.updating.warm_inputs import content_for, validation_of
from recsys_vae.bundles.bundle import REPEAT, Bundle, Tiers
from recsys_vae.bundles.lineage import Lineage
from recsys_vae.bundles.manifest import BUNDLE, Manifest, product_of, read_manifest
from recsys_vae.bundles.second_stage import RANKER
from recsys_vae.data.change import Change, ChangeCounts
from recsys_vae.data.ids import IdMap
from recsys_vae.data.signals import SignalRules
from recsys_vae.errors import BundleError, ConfigError
from recsys_vae.outputs import DirectoryProduct
from recsys_vae.protocols import Recommender, takes_dislikes, takes_metadata
from recsys_vae.training import update as updating
from recsys_vae.training.checkpoint import saved_run_id
from recsys_vae.training.fit import ModelSpec
from recsys_vae.training.tracking import tracked_run
from recsys_vae.training.update_run import UpdateRun
from recsys_vae.training.warm_start import WarmStartConfig

CHECKPOINT = "update.safetensors"


def _is_updated(told: Mapping[str, Any]) -> bool:
    provenance = told.get("provenance")
    return isinstance(provenance, dict) and bool(provenance.get("lineage"))


_BUNDLE = product_of(BUNDLE)
WRITTEN = DirectoryProduct(
    "a bundle of `recsys update`",
    _BUNDLE.marker,
    lambda told: _BUNDLE.contents(told) if _is_updated(told) else None,
)
"""What updating may replace."""
WARM_START = WarmStartConfig()
"""How models are trained further."""


@dataclass(frozen=True, eq=False)
class Course:
    """An update, made out but not begun.

    Attributes:
        bundle: that is updated.
        spec: its model and training.
        dataset: with what came in.
        trained_on: what the new bundle will have learned from, `all` or the part of a split.
        change: what came in and went.
        erased: users who are to be forgotten.
        known: metadata of the users, in the columns that the new bundle reads.
        aged: from when ages are counted, where popularity has a half-life.
        signals: what events say, with the half-life of the bundle.
        kept: what stands beside the bundle's model and is kept.
        disliked: what users dislike after the change, whether or not the bundle's model takes any.
    """

    bundle: Bundle
    spec: ModelSpec
    dataset: DatasetDir
    trained_on: str
    change: Change
    erased: IdMap
    known: UserMetadata
    aged: Decay
    signals: SignalRules
    kept: KeptParts
    disliked: csr_array | None = None

    @property
    def counts(self) -> ChangeCounts:
        """What came in and went."""
        return self.change.counts

    @property
    def brings_nothing(self) -> bool:
        """Whether the bundle has learned all that there is."""
        is_same = self.trained_on == self.bundle.manifest.provenance.trained_on
        return is_same and self.counts.is_none and not (self.spec.takes_weights and self.change.n_reweighed)

    @property
    def n_forgotten(self) -> int:
        """How many of the erased users the bundle has learned from."""
        return int((self.change.before.users.rows(self.erased.values) >= 0).sum())

    @property
    def decay(self) -> Decay:
        """How popularity by segment loses weight with age, as the bundle says."""
        segments = self.bundle.tiers.segments
        return self.aged if segments is None else replace(self.aged, half_life=segments.half_life)

    @property
    def number(self) -> int:
        """Which update since the last full training it is, from 1."""
        before = Lineage.of(self.bundle.manifest)
        return 1 + (before.updates_since_full if before else 0)

    @property
    def cutoff(self) -> str | None:
        """Time of the latest event that the new bundle stands for."""
        return self.dataset.latest(before=self.aged.before)

    def plan(self) -> Mapping[str, float | str]:
        """How the model would be updated, without doing it."""
        return updating.plan(self.bundle.model, UpdateRun(self.spec, self.change, erased=self.n_forgotten))


@dataclass(frozen=True)
class UpdatedBundle:
    """What `update_bundle` made.

    Attributes:
        manifest: of the bundle.
        registered_version: of the registered model.
        run_id: at the tracking server.
        seconds: that the model took to learn the change.
    """

    manifest: Manifest
    registered_version: str
    run_id: str | None
    seconds: float


def course_of(
    source: Path,
    dataset: DatasetDir,
    *,
    before: DatasetDir | None = None,
    split: str | None = None,
    erased: IdMap = NOBODY,
    drop_repeats: bool = False,
    drop_ranker: bool = False,
) -> Course:
    """What updating a bundle would mean: everything is read and compared, nothing is learned or written.

    Args:
        source: the bundle.
        dataset: with what came in.
        before: dataset that the bundle was trained on, where `dataset` does not hold what that held.
        split: learn from the training part of this split of `dataset`, or from `all`; as the bundle did when None.
        erased: users to be forgotten.
        drop_repeats, drop_ranker: leave the bundle's repeat-purchase head or its second stage behind.

    Raises:
        BundleError: what the bundle has learned from is not found, it was trained in a way that is not known, or it has
            a second stage that cannot be kept.
        ConfigError: no event is of the kinds that its lists count.
    """
    bundle = Bundle.load(source)
    kept = KeptParts.of(bundle, dataset, drop_repeats=drop_repeats, drop_ranker=drop_ranker)
    spec = spec_of(bundle)
    asked = split or _kind_of(bundle)
    signals = replace(dataset.signals(), half_life=bundle.signals.half_life)
    after, trained_on, moment = _learned_after(bundle, dataset, asked, erased)
    places = [before] if before else [dataset]
    learned = learned_before(bundle, places, erased)
    change = _change(bundle, learned, after)
    schema = bundle.tiers.schema
    if schema is not None and takes_metadata(bundle.model):
        known = UserMetadata(dataset, schema)  # the model's input is as wide as it was
    else:
        known = UserMetadata.learn(dataset, after.liked.users)
    if change.before.items != bundle.items:
        raise BundleError(f"{source} has another catalogue than what it says it learned from. Publish it again.")
    course = Course(
        bundle,
        spec.with_schema(known.schema),
        dataset,
        trained_on,
        change,
        erased,
        known,
        Decay(before=moment),
        signals,
        kept,
        after.disliked,
    )
    check_parts(course)
    if (lists := bundle.shelves.lists.rules).bought:
        check_bought(dataset, change.after, lists, course.cutoff)
    return course


def update_bundle(course: Course, output: Output, warm_start: WarmStartConfig = WARM_START) -> UpdatedBundle:
    """Learn the change, write the bundle, and register it as the challenger.

    Args:
        warm_start: settings of models that are trained further.

    Raises:
        ConfigError: something that `recsys update` did not write stands at the output.
        ModelError: the model cannot be updated.
        UnavailableError: the registry does not answer; the bundle is there then.
    """
    dataset, spec, bundle = course.dataset, course.spec, course.bundle
    checkpoint = output.workspace / CHECKPOINT
    run_id = saved_run_id(checkpoint) if checkpoint.exists() else None
    with tracked_run(dataset.name, f"{spec.name}-updated", run_id=run_id) as tracker:
        told = parameters(dataset, spec) | {"source": bundle.version, "trained_on": course.trained_on}
        tracker.log_parameters(told)
        run = UpdateRun(
            spec,
            course.change,
            epochs_before=bundle.manifest.provenance.epochs,
            metadata=metadata_for(spec, course.change.after, course.known),
            item_metadata=item_metadata_for(spec, dataset, course.change.after.items),
            content=content_for(course),
            validation=validation_of(course),
            order=order_for(spec, dataset, course.change.after),
            erased=course.n_forgotten,
            number=course.number,
            warm_start=warm_start,
            tracker=tracker,
            checkpoint=checkpoint,
            resume=True,
            progress=True,
        )
        made = updating.update(bundle.model, run)
        lineage = Lineage.after(
            bundle.manifest, course.counts, erased=len(course.erased), how=made.how, figures=made.figures
        )
        described = replace(
            origin(dataset, spec, made.fitted, course.change.after, course.change.dislikes_after),
            decay=course.decay.described,
            trained_on=course.trained_on,
            training_cutoff=course.cutoff,
            metrics=bundle.manifest.provenance.metrics,
            metrics_on=_measured_on(bundle.manifest),
            run_id=tracker.run_id,
            lineage=lineage.as_settings(),
        )
        remade = course.kept.fit_each(
            lambda number, one, part: updated_part(course, number, one, part, output, warm_start), course.change.after
        )
        tiers = _tiers_after(course, made.fitted.model)
        output = replace(output, lists=bundle.shelves.lists.rules)
        manifest = write_fitted(
            dataset,
            made.fitted,
            course.change.after,
            output,
            described,
            tiers,
            course.signals,
            replace(remade, erased=course.erased),
        )
        with registering(output.path, output.registered_name):
            log_outcome(tracker, manifest.provenance)
            tracker.log_parameters({f"lineage.{name}": value for name, value in manifest.lineage.items()})
            tracker.log_metrics({"training_seconds": made.fitted.seconds}, made.fitted.epochs)
            version = register_bundle(tracker, output.path, output.registered_name, manifest=manifest)
    clear_workspace(output.workspace)
    return UpdatedBundle(manifest, version, tracker.run_id, made.fitted.seconds)


def is_updated_from(manifest: Manifest, course: Course) -> bool:
    """Whether a bundle is what `update_bundle` makes of a course."""
    provenance = manifest.provenance
    return (
        provenance.lineage.get("parent") == course.bundle.version
        and (REPEAT in manifest.files, RANKER in manifest.files)
        == (course.kept.parent.repeat is not None, course.kept.parent.ranker is not None)
        and provenance.trained_on == course.trained_on
        and provenance.dataset_fingerprint == course.change.after.fingerprint()
        and provenance.dislikes_fingerprint
        == fingerprint_of_dislikes(course.bundle.model, course.change.after, course.change.dislikes_after)
    )


def stands(output: Output, course: Course) -> bool:
    """Whether the bundle of a course stands at the output; it is registered then, where that was missing."""
    if not output.path.exists():
        return False
    try:
        is_it = is_updated_from(read_manifest(output.path), course)
    except BundleError:
        return False
    if is_it:
        register(output.path, output.registered_name)
    return is_it


def default_output(source: Path, manifest: Manifest) -> Path:
    """Where an update goes that is not told: beside its parent, `NAME-u1`, `NAME-u2` ... along the chain."""
    name, number = source.name, 0
    if manifest.lineage and (numbered := re.fullmatch(r"(.+)-u(\d+)", name)):
        name, number = numbered[1], int(numbered[2])
    return source.with_name(f"{name}-u{number + 1}")


def _kind_of(bundle: Bundle) -> str:
    """`all`, or the name of the split that a bundle has learned from."""
    kind, _, rest = bundle.manifest.provenance.trained_on.partition(":")
    if kind == ALL:
        return ALL
    if kind != "split":
        raise BundleError(f"{bundle.version} does not say what it was trained on, so that it cannot be updated.")
    return rest.rpartition("/")[0]


def _learned_after(bundle: Bundle, dataset: DatasetDir, asked: str, erased: IdMap) -> tuple[Taste, str, int | None]:
    """What the new bundle learns from, its `trained_on`, and the moment that it ends before, in microseconds."""
    if asked == ALL:
        items = with_new_items(dataset) if bundle.tiers.policy.content else None
        found = taste_of(dataset, items, bundle.signals.half_life)
        return taste_without(found, erased, items), ALL, None
    cut = load_split(dataset, asked, bundle.signals.half_life)
    part, window = ("train", "validation") if cut.refit is None else ("refit", "test")
    found = Taste(cut.training_part, cut.training_dislikes)
    return taste_without(found, erased), f"split:{asked}/{part}", cut.windows.get(window)


def _change(bundle: Bundle, before: Taste, after: Taste) -> Change:
    """The change as the bundle's model sees it: dislikes are part of it where the model takes them."""
    if not takes_dislikes(bundle.model):
        return Change(before.liked, after.liked)
    dislikes = after.disliked
    if dislikes is None and bundle.manifest.provenance.dislikes_fingerprint:
        dislikes = csr_array(after.liked.matrix.shape, dtype=np.float32)
    return Change(before.liked, after.liked, before.disliked, dislikes)


def _measured_on(parent: Manifest) -> str:
    """Whose the figures are that are kept: the parent's, or those that it kept itself."""
    told = parent.provenance.metrics_on
    return told if not told or ", by " in told else f"{told}, by {parent.version}"


def _tiers_after(course: Course, model: Recommender) -> Tiers:
    """The parent's fallback policy, its parts learned from what there is now."""
    tiers = learn_again(course.bundle.tiers, course.change.after, course.known, course.aged)
    if not course.bundle.tiers.policy.content or course.trained_on != ALL:
        return tiers
    dataset, after = course.dataset, course.change.after
    lift = place(model, dataset, after)
    later = None if tiers.content is None else content_map(model, dataset, after, lift)
    return replace(tiers, policy=replace(tiers.policy, lift=lift), content=later)


def check_nothing_lost(source: Path, output: Output) -> None:
    """Raise ConfigError where the output is the parent itself: it is what the next update goes back to."""
    if output.path == source.expanduser().resolve():
        raise ConfigError("--to is the bundle itself. Name another directory: the parent is kept.")

"""Publish: what goes to production. A chosen model is measured on its test part, then retrained on all data.

The test part is read here and in `recsys evaluate`, never while choosing. The published bundle keeps the numbers of the
bundle that was measured, as it is served: its own cannot be measured any more, it has seen everything.
"""

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pipelines.artifacts.workspace import check_workspace
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import Taste, taste_of
from pipelines.dataset.splits import load_split, read_manifest
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.eligibility import ALL, check_eligible
from pipelines.evaluation.evaluate import measure_served
from pipelines.evaluation.repeats import part_start, with_recency
from pipelines.training.decay import Decay
from pipelines.training.fallback_policy import learn_again
from pipelines.training.fit import ModelSpec, check_processes, fit, spec_told
from pipelines.training.item_inputs import item_metadata_for
from pipelines.training.kept_parts import KeptParts, keeps
from pipelines.training.latent_report import log_latents
from pipelines.training.new_items import check_content, content_map, place, with_new_items
from pipelines.training.train import (
    METRICS,
    Output,
    Trained,
    check_index_use,
    finish,
    metadata_for,
    order_for,
    origin,
    parameters,
)
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import BUNDLE, Manifest, product_of
from recsys_vae.bundles.manifest import read_manifest as read_bundle_manifest
from recsys_vae.data.signals import SignalRules
from recsys_vae.errors import BundleError, BundleVersionError, ConfigError
from recsys_vae.evaluation.splits import Split
from recsys_vae.training.checkpoint import saved_run_id
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.tracking import tracked_run

CHECKPOINT = "all.safetensors"
WRITTEN = product_of(BUNDLE, "a bundle of `recsys publish`", ALL)
"""What publishing may replace."""


class Publishable(NamedTuple):
    """A bundle that can be published, its model, the split that it is measured on, its signals, where it goes, and what
    is kept of its other parts.
    """

    bundle: Bundle
    spec: ModelSpec
    split: Split
    signals: SignalRules
    output: Output
    kept: KeptParts


def publish_bundle(
    source: Path,
    dataset: DatasetDir,
    output: Output,
    *,
    resume: bool,
    group: Group = ALONE,
    new_items: bool = False,
    now: datetime | None = None,
    drop_repeats: bool = False,
    drop_ranker: bool = False,
    told_afterwards: bool = False,
) -> Trained:
    """Measure a bundle of `train` on its split's test part, retrain its model on all data, write and register that.

    Of a group of processes this is for the first; the others call `take_part`.

    Args:
        new_items: let items of the dataset's table that nobody has touched take a place, by their content.
        now: from when ages are counted, where the bundle's popularity has a half-life.
        drop_repeats, drop_ranker: leave its repeat-purchase head or its second stage behind.
        told_afterwards: as of `train.train_bundle`.

    Raises:
        ConfigError: something else stands at the output; there is no content for new items, or the model cannot place
            them; or there is a moment and no half-life.
        BundleError: the source was published itself, belongs to another dataset, or its split was made again since.
    """
    bundle, spec, split, signals, output, kept = check_publish(
        source,
        dataset,
        output,
        resume=resume,
        group=group,
        new_items=new_items,
        now=now,
        drop_repeats=drop_repeats,
        drop_ranker=drop_ranker,
    )
    provenance, split_name = bundle.manifest.provenance, split_of(bundle)
    segments = bundle.tiers.segments
    asked = split.test if bundle.tiers.schema is None else UserMetadata(dataset, bundle.tiers.schema).of(split.test)
    asked = with_recency(asked, kept.parent, dataset, part_start(read_manifest(dataset, split_name), "test"))
    evaluation = measure_served(kept.parent, asked, METRICS, progress=True)
    checkpoint = output.workspace / CHECKPOINT
    everything, dislikes = whole(dataset, new_items=new_items, half_life=signals.half_life)
    known = UserMetadata.learn(dataset, everything.users)
    spec = spec.with_schema(known.schema)
    with tracked_run(
        dataset.name, f"{spec.name}-published", run_id=saved_run_id(checkpoint) if resume else None
    ) as tracker:
        tracker.log_parameters(parameters(dataset, spec) | {"source": bundle.version})
        fitted = fit(
            spec,
            everything.matrix,
            tracker=tracker,
            checkpoint=checkpoint,
            resume=resume,
            epochs=provenance.epochs or None,
            group=group,
            metadata=metadata_for(spec, everything, known),
            item_metadata=item_metadata_for(spec, dataset, everything.items),
            dislikes=dislikes,
            order=order_for(spec, dataset, everything),
        )
        for epoch, record in enumerate(fitted.history if told_afterwards else (), start=1):
            tracker.log_metrics(record, epoch)
        log_latents(tracker, fitted)
        remade = kept.fit_each(
            lambda number, one, part: fit(
                one,
                everything.matrix,
                checkpoint=output.workspace / f"beside-{number}.safetensors",
                resume=resume,
                epochs=part.epochs or None,
                item_metadata=item_metadata_for(one, dataset, everything.items),
                dislikes=dislikes,
            ),
            everything,
        )
        described = replace(
            origin(dataset, spec, fitted, everything, dislikes),
            decay=Decay(math.inf if segments is None else segments.half_life, now).described,
            trained_on=ALL,
            training_cutoff=dataset.latest(),
            metrics_on=f"split:{split_name}/test, by {bundle.version}",
        )
        tiers = learn_again(bundle.tiers, everything, known, Decay(now=now))
        if new_items:
            lift = place(fitted.model, dataset, everything)
            later = content_map(fitted.model, dataset, everything, lift)
            tiers = replace(tiers, policy=replace(tiers.policy, content=True, lift=lift), content=later)
        return finish(
            dataset,
            fitted,
            everything,
            output,
            evaluation,
            described,
            tracker=tracker,
            tiers=tiers,
            signals=signals,
            kept=remade,
        )


def check_publish(
    source: Path,
    dataset: DatasetDir,
    output: Output,
    *,
    resume: bool,
    group: Group = ALONE,
    new_items: bool = False,
    now: datetime | None = None,
    drop_repeats: bool = False,
    drop_ranker: bool = False,
) -> Publishable:
    """What `publish_bundle` goes by, once it is known that it can be published; arguments and errors are those."""
    bundle = Bundle.load(source)
    provenance = bundle.manifest.provenance
    split_name = split_of(bundle)
    if provenance.dataset != dataset.name:
        raise BundleError(f"{source} was trained on dataset {provenance.dataset!r}, not on {dataset.name!r}.")
    spec = spec_of(bundle)
    check_processes(spec, group)
    check_index_use(spec, output)
    kept = KeptParts.of(bundle, dataset, drop_repeats=drop_repeats, drop_ranker=drop_ranker)
    if new_items:
        check_content(dataset, spec)  # before the test part is measured, not after
    segments = bundle.tiers.segments
    if now is not None and (segments is None or segments.half_life == math.inf):
        raise ConfigError(f"{bundle.version} has no half-life, so there are no ages to count: leave --now out.")
    check_workspace(output, resume, WRITTEN)
    signals = replace(dataset.signals(), half_life=bundle.signals.half_life)
    split = load_split(dataset, split_name, signals.half_life)
    check_eligible(bundle, dataset, read_manifest(dataset, split_name), split, "test")
    return Publishable(bundle, spec, split, signals, replace(output, lists=bundle.shelves.lists.rules), kept)


def take_part(
    source: Path, dataset: DatasetDir, output: Output, *, resume: bool, group: Group, new_items: bool = False
) -> None:
    """What the other processes do while the first one is in `publish_bundle`: their share of the training."""
    bundle = Bundle.load(source)
    spec = spec_of(bundle)
    check_processes(spec, group)
    if new_items:
        check_content(dataset, spec)
    check_workspace(output, resume, WRITTEN)
    everything, dislikes = whole(dataset, new_items=new_items, half_life=bundle.signals.half_life)
    known = UserMetadata.learn(dataset, everything.users)
    spec = spec.with_schema(known.schema)
    fit(
        spec,
        everything.matrix,
        checkpoint=output.workspace / CHECKPOINT,
        resume=resume,
        epochs=bundle.manifest.provenance.epochs or None,
        group=group,
        by_gradient_alone=True,
        metadata=metadata_for(spec, everything, known),
        item_metadata=item_metadata_for(spec, dataset, everything.items),
        dislikes=dislikes,
        order=order_for(spec, dataset, everything),
    )


def whole(dataset: DatasetDir, *, new_items: bool, half_life: float = math.inf) -> Taste:
    """All that a dataset knows; with new items, over a catalogue that holds them too."""
    return taste_of(dataset, with_new_items(dataset) if new_items else None, half_life)


def is_published_from(
    manifest: Manifest,
    source: Path,
    dataset: DatasetDir,
    *,
    new_items: bool = False,
    now: datetime | None = None,
    drop_repeats: bool = False,
    drop_ranker: bool = False,
) -> bool:
    """Whether a bundle is what `publish_bundle` makes of another one, of the interactions that the dataset has now."""
    origin, parent = manifest.provenance, read_bundle_manifest(source)
    half_life = SignalRules.read(parent.signals).half_life
    return (
        origin.trained_on == ALL
        and keeps(manifest, parent, drop_repeats=drop_repeats, drop_ranker=drop_ranker)
        and origin.metrics_on.endswith(f"by {parent.version}")
        and origin.decay.get("now") == (None if now is None else Decay(now=now).moment)
        and origin.dataset_fingerprint == whole(dataset, new_items=new_items, half_life=half_life).liked.fingerprint()
    )


def spec_of(bundle: Bundle) -> ModelSpec:
    """Model and training of a bundle, to be repeated.

    Raises:
        BundleVersionError: it was trained with a setting that this version does not know, or takes otherwise.
    """
    return spec_in(bundle.manifest)


def spec_in(manifest: Manifest) -> ModelSpec:
    """The same, of a manifest alone."""
    try:
        return spec_told(manifest.model, manifest.settings, manifest.provenance.training)
    except ConfigError as error:
        raise BundleVersionError(
            f"The training of {manifest.version} cannot be repeated: {error} Train it again with this version, or "
            "publish it with the version that trained it."
        ) from error


def split_of(bundle: Bundle) -> str:
    """Name of the split that a bundle was trained on.

    Raises:
        BundleError: it was trained on all data.
    """
    kind, _, rest = bundle.manifest.provenance.trained_on.partition(":")
    if kind != "split":
        raise BundleError(
            f"{bundle.version} has learned from all data, so that no part is left to measure it on. Use the bundle "
            "that `recsys train` wrote."
        )
    return rest.rpartition("/")[0]

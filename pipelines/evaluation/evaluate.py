"""Evaluate: a bundle as it is served beside baselines, on the held-out users of a split, and how sure differences are.

Served is the fallback chain: the tiers that the bundle's thresholds name, and the metadata that the dataset has of the
users. Where that is not the model alone, the model alone is measured too."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import SplitManifest, load_split, read_manifest
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.cautions import of_figures
from pipelines.evaluation.eligibility import questions_for
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.sequences import chronological
from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.evaluation.bootstrap import Interval, bootstrap_means
from recsys_vae.evaluation.evaluate import Evaluation, evaluate
from recsys_vae.evaluation.metrics import parse_metric
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models import catalog
from recsys_vae.models.variational import Variational
from recsys_vae.protocols import ClosedFormRecommender, Int64Array, Recommender, Scorer, takes_order
from recsys_vae.recommender import FallbackChain
from recsys_vae.training.activity import Activity, measure_activity, sample_histories

METRICS = (
    "recall@20",
    "recall@50",
    "ndcg@100",
    "recall@20[all]",
    "ndcg@20",
    "precision@20",
    "map@20",
    "mrr",
    "hit-rate@20",
    "coverage@20",
    "novelty@20",
)
DEPTH = 100
"""Lists are looked at so deep, for the curve of recall."""


@dataclass(frozen=True)
class ModelResult:
    """One model, measured.

    Attributes:
        label: what tables call it.
        description: model, settings and what it learned from, in words.
        evaluation: its figures.
        seconds: that scoring, ranking and measuring took.
    """

    label: str
    description: str
    evaluation: Evaluation
    seconds: float


@dataclass(frozen=True)
class Difference:
    """What is served minus a baseline, or the bare model, in one metric."""

    baseline: str
    metric: str
    interval: Interval


@dataclass(frozen=True, eq=False)
class EvaluationRun:
    """Everything that a table or report shows.

    Attributes:
        version: of the bundle.
        provenance: of the bundle.
        split: what is known of the split.
        part: `test` or `validation`.
        held_out: the users asked.
        item_counts: training users of each item, shape (n_items,).
        activity: of the bundle's latents, on the histories of the users asked; None for models without a posterior.
        results: the bundle as served, its bare model where that differs, then the baselines.
        differences: of what is served, from each of the other results, metric by metric.
        bare: place of the bare model among the results; 0 where it is what is served.
        n_unknown: targets that were left out, as the bundle does not know the items.
    """

    version: str
    provenance: Provenance
    split: SplitManifest
    part: str
    held_out: HeldOut
    item_counts: Int64Array
    activity: Activity | None
    results: tuple[ModelResult, ...]
    differences: tuple[Difference, ...]
    bare: int = 0
    n_unknown: int = 0

    @property
    def ours(self) -> ModelResult:
        """The bundle as it is served."""
        return self.results[0]

    @property
    def cautions(self) -> list[str]:
        """What to know of the figures where they come from too little."""
        return of_figures(self.ours.evaluation.n_users, self.held_out.targets.shape[1], self.metrics, self.split)

    @property
    def metrics(self) -> list[str]:
        """Names of what was measured."""
        return list(self.ours.evaluation.means)


def evaluate_bundle(
    bundle_path: Path,
    dataset: DatasetDir,
    split_name: str,
    *,
    part: str = "test",
    baselines: Sequence[str] = (),
    metrics: Sequence[str] = METRICS,
    batch_size: int | None = None,
    progress: bool = False,
) -> EvaluationRun:
    """Measure a bundle, and baselines fitted on what it may have learned from, on one part of a split.

    Args:
        baselines: closed-form models of the catalogue, with settings where wanted: `popularity`, `ease:l2=200`.

    Raises:
        BundleError: the bundle may have seen what it is asked.
        UnknownNameError, ConfigError: a baseline or metric is misspelt.
    """
    manifest, split = read_manifest(dataset, split_name), load_split(dataset, split_name)
    chosen = [_parse_baseline(baseline) for baseline in baselines]
    if len(set(baselines)) < len(baselines):
        raise ConfigError(f"A baseline is named twice: {', '.join(baselines)}. Name each once.")
    for metric in metrics:
        parse_metric(metric)
    bundle = Bundle.load(bundle_path)
    questions = questions_for(bundle, dataset, manifest, split, part)
    held_out, learned_from = questions.held_out, questions.learned_from
    if bundle.tiers.schema is not None:
        held_out = UserMetadata(dataset, bundle.tiers.schema).of(held_out)
    test = _Test(held_out, tuple(metrics), learned_from.item_counts(), batch_size, progress)
    name, origin = bundle.manifest.model, bundle.manifest.provenance
    ours, *bare = _measure_bundle(test, bundle)
    labels = _labels([baseline.name for baseline in chosen], baselines, taken=name)
    theirs = [
        _measure_baseline(test, baseline, learned_from, label) for baseline, label in zip(chosen, labels, strict=True)
    ]
    return EvaluationRun(
        version=bundle.version,
        provenance=origin,
        split=manifest,
        part=part,
        held_out=held_out,
        item_counts=test.item_counts,
        activity=_activity(bundle.model, held_out),
        results=(ours, *bare, *theirs),
        differences=tuple(difference for other in (*bare, *theirs) for difference in _compare(ours, other)),
        bare=len(bare),
        n_unknown=questions.n_unknown,
    )


def measure_served(bundle: Bundle, asked: HeldOut, metrics: Sequence[str], *, progress: bool = False) -> Evaluation:
    """What a bundle answers, measured: by its fallback chain, with the metadata of `asked` by the bundle's schema."""
    return evaluate(FallbackChain(bundle), asked, metrics, progress=progress)


def _measure_bundle(test: "_Test", bundle: Bundle) -> list[ModelResult]:
    """As served, and the bare model where anybody who is asked is answered otherwise."""
    name, chain = bundle.manifest.model, FallbackChain(bundle)
    described = _describe(name, bundle.manifest.settings, bundle.manifest.provenance.n_users)
    if chain.is_bare(chain.reached(test.held_out.histories, test.held_out.metadata)):
        return [test.take(chain, name, f"{described}; served as it is")]
    return [
        test.take(chain, f"{name} (served)", f"{described}; as served, by the tiers of the bundle's fallback chain"),
        test.take(bundle.model, f"{name} (bare)", f"{described}; the model alone, without the fallback chain"),
    ]


@dataclass(frozen=True, eq=False)
class _Test:
    """The same questions for every model."""

    held_out: HeldOut
    metrics: tuple[str, ...]
    item_counts: Int64Array
    batch_size: int | None
    progress: bool

    def take(self, model: Scorer, label: str, description: str) -> ModelResult:
        started = time.perf_counter()
        found = evaluate(
            model,
            self.held_out,
            self.metrics,
            batch_size=self.batch_size,
            item_counts=self.item_counts,
            progress=self.progress,
            depth=DEPTH,
        )
        return ModelResult(label, description, found, time.perf_counter() - started)


@dataclass(frozen=True)
class _Baseline:
    """A model to compare with, and its configuration."""

    name: str
    config: Any


def as_json(run: EvaluationRun) -> dict[str, Any]:
    """The figures as plain values; what is not a number is null."""
    return {
        "bundle": run.version,
        "trained_on": run.provenance.trained_on,
        "dataset": run.split.dataset,
        "split": run.split.name,
        "protocol": run.split.recipe.protocol,
        "part": run.part,
        "users": run.ours.evaluation.n_users,
        "users_left_out": run.ours.evaluation.n_left_out,
        "targets_of_unknown_items": run.n_unknown,
        "training_cutoff": run.provenance.training_cutoff,
        "active_units": None if run.activity is None else run.activity.active_units,
        "served": run.ours.label,
        "bare": run.results[run.bare].label,
        "models": {result.label: _figures(result.evaluation) for result in run.results},
        "differences": [
            {
                "baseline": difference.baseline,
                "metric": difference.metric,
                "difference": difference.interval.difference,
                "low": _number(difference.interval.low),
                "high": _number(difference.interval.high),
                "confidence": difference.interval.confidence,
            }
            for difference in run.differences
        ],
        "warnings": run.cautions,
    }


def _figures(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    errors = evaluation.standard_errors
    return {
        name: {"mean": _number(mean), "standard_error": _number(errors.get(name, math.nan))}
        for name, mean in evaluation.means.items()
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _activity(model: Recommender, held_out: HeldOut) -> Activity | None:
    if not isinstance(model, Variational):
        return None
    histories = chronological(held_out.histories, held_out.order) if takes_order(model) else held_out.histories
    return measure_activity(model, sample_histories(histories, share=1.0))


def _parse_baseline(text: str) -> _Baseline:
    """`ease:l2=200` to its model and configuration."""
    name, _, rest = text.partition(":")
    if name not in catalog.names() or not hasattr(catalog.entry(name).model, "fit"):
        closed_form = [key for key, entry in catalog.CATALOG.items() if hasattr(entry.model, "fit")]
        raise UnknownNameError("baseline", name, closed_form)
    pairs = [setting.partition("=") for setting in rest.split(",") if setting]
    if any(not value for _, _, value in pairs):
        raise ConfigError(f"Settings of a baseline are written NAME:KEY=VALUE, as in ease:l2=200; got {text!r}.")
    return _Baseline(name, catalog.configure(name, {key: value for key, _, value in pairs}))


def _labels(names: Sequence[str], told: Sequence[str], *, taken: str) -> list[str]:
    """What tables call the baselines, each otherwise: by the model, or as they were asked for where that is not enough.

    Args:
        names: of their models.
        told: as they were asked for, no two alike.
        taken: what the bundle's model is called.
    """
    short = [name if name != taken else f"{name} (baseline)" for name in names]
    return [
        text if short.count(label) > 1 and text != taken else label for label, text in zip(short, told, strict=True)
    ]


def _measure_baseline(test: _Test, baseline: _Baseline, learned_from: Interactions, label: str) -> ModelResult:
    model = catalog.create(baseline.name, learned_from.n_items, baseline.config)
    assert isinstance(model, ClosedFormRecommender)
    model.fit(learned_from.matrix)
    return test.take(model, label, _describe(baseline.name, catalog.described(baseline.config), learned_from.n_users))


def _describe(model: str, settings: Mapping[str, Any], n_users: int) -> str:
    chosen = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{model}{f' ({chosen})' if chosen else ''}, learned from {n_users:,} users"


def _compare(ours: ModelResult, theirs: ModelResult) -> list[Difference]:
    mine, other = ours.evaluation.per_user, theirs.evaluation.per_user
    names = list(mine)
    if not names:
        return []
    gaps = np.stack([mine[name] - other[name] for name in names], axis=1)
    return [
        Difference(theirs.label, name, interval) for name, interval in zip(names, bootstrap_means(gaps), strict=True)
    ]

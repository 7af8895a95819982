"""Results of an evaluation: what a table, a report and JSON show."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.dataset.splits import SplitManifest
from pipelines.evaluation.cautions import of_figures
from pipelines.evaluation.further import NOTHING_FURTHER, Earned, Further, further_as_json, number, of_estimates
from pipelines.evaluation.impressions import Shown
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.evaluation.counterfactual import Counterfactual
from recsys_vae.evaluation.evaluate import Evaluation
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.evaluation.user_groups import UserGroup
from recsys_vae.protocols import Int64Array

if TYPE_CHECKING:
    from recsys_vae.training.activity import Activity


@dataclass(frozen=True)
class ModelResult:
    """One model, measured.

    Attributes:
        label: what tables call it.
        description: model, settings and what it learned from, in words.
        evaluation: its figures.
        seconds: that scoring, ranking and measuring took.
        earned: what its lists would have earned; None without impressions.
    """

    label: str
    description: str
    evaluation: Evaluation
    seconds: float
    earned: Counterfactual | None = None


@dataclass(frozen=True)
class Difference:
    """What is served minus another bundle, a baseline or the bare model, in one metric."""

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
        results: the bundle as served, its bare model where that differs, then other bundles as served, then baselines.
        differences: of what is served, from each of the other results, metric by metric.
        bare: place of the bare model among the results; 0 where it is what is served.
        n_unknown: targets that were left out, as one of the bundles does not know the items.
        others: versions of other bundles, by label.
        further: what was asked besides.
        groups: of the users, by metric, of what is served; empty where nobody asked.
        earned: by each model, where there were impressions.
        shown: these impressions.
    """

    version: str
    provenance: Provenance
    split: SplitManifest
    part: str
    held_out: HeldOut
    item_counts: Int64Array
    activity: "Activity | None"
    results: tuple[ModelResult, ...]
    differences: tuple[Difference, ...]
    bare: int = 0
    n_unknown: int = 0
    others: Mapping[str, str] = field(default_factory=dict)
    further: Further = NOTHING_FURTHER
    groups: Mapping[str, Sequence[UserGroup]] = field(default_factory=dict)
    earned: tuple[Earned, ...] = ()
    shown: Shown | None = None

    @property
    def ours(self) -> ModelResult:
        """The bundle as it is served."""
        return self.results[0]

    @property
    def cautions(self) -> list[str]:
        """What to know of the figures where they come from too little."""
        told = of_figures(self.ours.evaluation.n_users, self.held_out.targets.shape[1], self.metrics, self.split)
        return [*told, *of_estimates(self.earned)]

    @property
    def metrics(self) -> list[str]:
        """Names of what was measured."""
        return list(self.ours.evaluation.means)


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
        "others": dict(run.others),
        "models": {result.label: _figures(result.evaluation) for result in run.results},
        "differences": [
            {
                "baseline": difference.baseline,
                "metric": difference.metric,
                "difference": difference.interval.difference,
                "low": number(difference.interval.low),
                "high": number(difference.interval.high),
                "confidence": difference.interval.confidence,
            }
            for difference in run.differences
        ],
        **further_as_json(run.further, run.groups, run.earned, run.shown),
        "warnings": run.cautions,
    }


def _figures(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    errors = evaluation.standard_errors
    return {
        name: {"mean": number(mean), "standard_error": number(errors.get(name, math.nan))}
        for name, mean in evaluation.means.items()
    }

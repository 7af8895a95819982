"""Evaluate: a bundle as it is served beside other bundles and baselines, on the held-out users of a split, and how sure
differences are.

Served is the fallback chain: the tiers that the bundle's thresholds name, and the metadata that the dataset has of the
users. Where that is not the model alone, the model alone is measured too."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split, read_manifest
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.eligibility import Questions, asked_alike, questions_for
from pipelines.evaluation.further import (
    NOTHING_FURTHER,
    WORDS,
    Further,
    earnings,
    named_metrics,
)
from pipelines.evaluation.impressions import Shown, read_impressions
from pipelines.evaluation.repeats import AskedPurchases
from pipelines.evaluation.results import Difference, EvaluationRun, ModelResult
from pipelines.evaluation.user_groups import groups_of
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.sequences import chronological
from recsys_vae.data.signals import Repeat, shown_to, signed
from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.evaluation import counterfactual
from recsys_vae.evaluation.bootstrap import Interval, bootstrap_means
from recsys_vae.evaluation.counterfactual import Counterfactual
from recsys_vae.evaluation.evaluate import Evaluation, Spread, evaluate, recommended
from recsys_vae.evaluation.item_facts import ItemFacts
from recsys_vae.evaluation.metrics import parse_metric
from recsys_vae.evaluation.repeat_metrics import NOVEL, REPEAT
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.evaluation.user_groups import by_group
from recsys_vae.models import catalog
from recsys_vae.models.compiled_model import CompiledModel
from recsys_vae.protocols import ClosedFormRecommender, Scorer, takes_order
from recsys_vae.recommender import FallbackChain
from recsys_vae.repeats import WithRepeats
from recsys_vae.reranking.reranker import Reranker

if TYPE_CHECKING:
    from recsys_vae.training.activity import Activity

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
DISLIKE = "dislike@20"
BY_REPEATS = tuple(f"{name}[{which}]" for name in ("recall@20", "ndcg@100") for which in (REPEAT, NOVEL))
DEPTH = 100
"""Lists are looked at so deep, for the curve of recall."""


BARE = " (bare)"
"""Ends the label of a model alone."""


def evaluate_bundle(
    bundle_path: Path,
    dataset: DatasetDir,
    split_name: str,
    *,
    others: Sequence[Path] = (),
    part: str = "test",
    baselines: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    batch_size: int | None = None,
    progress: bool = False,
    further: Further = NOTHING_FURTHER,
    spread: Spread | None = None,
) -> EvaluationRun:
    """Measure a bundle, and baselines fitted on what it may have learned from, on one part of a split.

    Args:
        others: further bundles, to compare the first one with. All are asked for the same targets.
        baselines: closed-form models of the catalogue, with settings where wanted: `popularity`, `ease:l2=200`.
        metrics: names; `METRICS` when None, and beside them `DISLIKE` where the held-out part says what users dislike,
            `BY_REPEATS` where it asks for what they had before.
        further: groups, rules of re-ranking, impressions.
        spread: measures batches of users instead of this process.

    Raises:
        BundleError: a bundle may have seen what it is asked.
        UnknownNameError, ConfigError: a baseline, metric, rule or column is misspelt, or something is named twice.
        DataError: the impressions cannot be read.
    """
    manifest = read_manifest(dataset, split_name)
    chosen = [_parse_baseline(baseline) for baseline in baselines]
    if len(set(baselines)) < len(baselines):
        raise ConfigError(f"A baseline is named twice: {', '.join(baselines)}. Name each once.")
    for metric in metrics or ():
        if metric not in WORDS:
            parse_metric(metric)
    paths = [bundle_path, *others]
    if len({path.expanduser().resolve() for path in paths}) < len(paths):
        raise ConfigError(f"A bundle is named twice: {', '.join(map(str, paths))}. Name each once.")
    bundles = [Bundle.load(path, to_ask=True) for path in paths]
    half_lives = [one.signals.half_life for one in bundles]
    splits = {days: load_split(dataset, split_name, days) for days in set(half_lives)}
    asked = [
        questions_for(one, dataset, manifest, splits[days], part) for one, days in zip(bundles, half_lives, strict=True)
    ]
    questions = asked_alike(bundles, asked)
    names = _bundle_labels(bundles, paths)
    bundle, learned_from = bundles[0], questions[0].learned_from
    groups = groups_of(dataset, further.by, questions[0].held_out.users) if further.by else []
    asked_metrics = _metrics(metrics, questions[0].held_out, further.repeat)
    chosen_metrics = named_metrics(asked_metrics, METRICS, bundle.item_table)
    terms = _Terms(chosen_metrics, batch_size, progress, further, spread)
    purchases = AskedPurchases(dataset, manifest, part, further.repeat)
    tests = [_Test.of(one, its, dataset, terms, purchases) for one, its in zip(bundles, questions, strict=True)]
    test = tests[0]
    ours, *rest = _measure_bundle(test, bundle, names[0])
    bare = [one for one in rest if one.label.endswith(BARE)]
    rivals = [_measure_bundle(*one, alone=True)[0] for one in zip(tests[1:], bundles[1:], names[1:], strict=True)]
    labels = _labels([baseline.name for baseline in chosen], baselines, taken=names)
    theirs = [
        _measure_baseline(test, baseline, questions[0], label) for baseline, label in zip(chosen, labels, strict=True)
    ]
    compared = (*rest, *rivals, *theirs)
    return EvaluationRun(
        version=bundle.version,
        provenance=bundle.manifest.provenance,
        split=manifest,
        part=part,
        held_out=test.held_out,
        item_counts=learned_from.item_counts(),
        activity=_activity(bundle, test.held_out),
        results=(ours, *compared),
        differences=tuple(difference for other in compared for difference in _compare(ours, other)),
        bare=len(bare),
        n_unknown=questions[0].n_unknown,
        others={found.label: one.version for found, one in zip(rivals, bundles[1:], strict=True)},
        further=further,
        groups={
            m: by_group(v, [groups[row] for row in ours.evaluation.rows]) for m, v in ours.evaluation.per_user.items()
        }
        if groups
        else {},
        earned=earnings([(one.label, one.earned) for one in (ours, *compared)]),
        shown=test.shown,
    )


def _metrics(asked: Sequence[str] | None, held_out: HeldOut, repeat: Repeat) -> tuple[str, ...]:
    if asked is not None:
        return tuple(asked)
    later = held_out.disliked_later
    usual = [name for name in METRICS if name != "mrr" or repeat != "only"]  # lists of repeats only end
    usual += BY_REPEATS if held_out.overlap() else ()
    return (*usual, *(() if later is None or not later.nnz else (DISLIKE,)))


def measure_served(bundle: Bundle, asked: HeldOut, metrics: Sequence[str], *, progress: bool = False) -> Evaluation:
    """What a bundle answers, measured: by its fallback chain, with the metadata of `asked` by the bundle's schema."""
    return evaluate(FallbackChain(bundle), asked, metrics, progress=progress)


def _measure_bundle(test: "_Test", bundle: Bundle, name: str, *, alone: bool = False) -> list[ModelResult]:
    """As served; unless `alone`, also the bare model where that answers anybody otherwise, and re-ranked."""
    chain = FallbackChain(bundle)
    described = _describe(bundle.manifest.model, bundle.manifest.settings, bundle.manifest.provenance.n_users)
    has_repeats = test.held_out.purchases is not None
    if bundle.repeat is not None and test.terms.further.repeat != "exclude" and not has_repeats:
        described += "; without its repeat-purchase head, as the split has no window of time"
    answers: Scorer = WithRepeats(chain) if has_repeats else chain
    if not has_repeats and chain.is_bare(chain.reached(test.held_out.histories, test.held_out.metadata)):
        found = [test.take(answers, name, f"{described}; served as it is")]
    else:
        served = f"{described}; as served, by the tiers of the bundle's fallback chain"
        served += " and by its repeat-purchase head" if has_repeats else ""
        found = [test.take(answers, f"{name} (served)", served)]
        if not alone:
            bare = f"{described}; the model alone, without the fallback chain"
            found.append(test.take(bundle.model, name + BARE, bare))
    further = test.terms.further
    if further.rules and not alone:
        label = f"{name} (re-ranked)"
        reranker = Reranker(further.rules, bundle.item_table, further.k)
        told = f"{described}; the first {further.k} by rules: {further.rules}"
        found.append(test.take(answers, label, told, reranker))
    return found


@dataclass(frozen=True)
class _Terms:
    """What is asked, the same for every bundle."""

    metrics: tuple[str, ...]
    batch_size: int | None
    progress: bool
    further: Further
    spread: Spread | None


@dataclass(frozen=True, eq=False)
class _Test:
    """The same questions for every model of a catalogue."""

    held_out: HeldOut
    facts: ItemFacts
    terms: _Terms
    shown: Shown | None

    @classmethod
    def of(
        cls, bundle: Bundle, questions: Questions, dataset: DatasetDir, terms: _Terms, purchases: AskedPurchases
    ) -> "_Test":
        """The questions in the terms of a bundle: with the metadata that it has a schema for, and its own items."""
        held_out, learned_from = purchases.of(questions.held_out, bundle), questions.learned_from
        if bundle.tiers.schema is not None:
            held_out = UserMetadata(dataset, bundle.tiers.schema).of(held_out)
        facts = ItemFacts(learned_from.item_counts(), bundle.item_table, learned_from.matrix)
        place = terms.further.impressions
        return cls(
            held_out, facts, terms, None if place is None else read_impressions(place, held_out.users, bundle.items)
        )

    def take(self, model: Scorer, label: str, description: str, reranker: Reranker | None = None) -> ModelResult:
        started = time.perf_counter()
        found = evaluate(
            model,
            self.held_out,
            self.terms.metrics,
            batch_size=self.terms.batch_size,
            facts=self.facts,
            progress=self.terms.progress,
            depth=DEPTH,
            repeat=self.terms.further.repeat,
            reranker=reranker,
            spread=self.terms.spread,
        )
        earned = None if self.shown is None else self._estimate(model, self.shown, reranker)
        return ModelResult(label, description, found, time.perf_counter() - started, earned)

    def _estimate(self, model: Scorer, shown: Shown, reranker: Reranker | None) -> Counterfactual:
        further = self.terms.further
        asked, k = self.held_out.take(shown.rows), min(further.k, model.n_items)
        lists = recommended(model, asked, k, repeat=further.repeat, reranker=reranker)
        return counterfactual.estimate(shown.impressions, lists, largest_weight=further.largest_weight)


@dataclass(frozen=True)
class _Baseline:
    """A model to compare with, and its configuration."""

    name: str
    config: Any


def _activity(bundle: Bundle, held_out: HeldOut) -> "Activity | None":
    if not catalog.entry(bundle.manifest.model).traits.variational:
        return None
    from recsys_vae.training.activity import activity_without_torch, measure_activity, sample_histories

    model: Any = bundle.model
    histories = chronological(held_out.histories, held_out.order) if takes_order(model) else held_out.histories
    measure = activity_without_torch if isinstance(model, CompiledModel) else measure_activity
    return measure(model, sample_histories(histories, share=1.0))


def _parse_baseline(text: str) -> _Baseline:
    """`ease:l2=200` to its model and configuration."""
    name, _, rest = text.partition(":")
    if name not in catalog.names() or not catalog.entry(name).traits.closed_form:
        closed_form = [key for key, entry in catalog.CATALOG.items() if entry.traits.closed_form]
        raise UnknownNameError("baseline", name, closed_form)
    pairs = [setting.partition("=") for setting in rest.split(",") if setting]
    if any(not value for _, _, value in pairs):
        raise ConfigError(f"Settings of a baseline are written NAME:KEY=VALUE, as in ease:l2=200; got {text!r}.")
    return _Baseline(name, catalog.configure(name, {key: value for key, _, value in pairs}))


def _bundle_labels(bundles: Sequence[Bundle], paths: Sequence[Path]) -> list[str]:
    """What tables call the bundles, each otherwise: by the model, with the folder or the path where that says more."""
    names = [bundle.manifest.model for bundle in bundles]
    longer = [f"{name} {path.name}" for name, path in zip(names, paths, strict=True)]
    whole = [f"{name} {path}" for name, path in zip(names, paths, strict=True)]
    return [
        name if names.count(name) == 1 else folder if longer.count(folder) == 1 else path
        for name, folder, path in zip(names, longer, whole, strict=True)
    ]


def _labels(names: Sequence[str], told: Sequence[str], *, taken: Sequence[str]) -> list[str]:
    """What tables call the baselines, each otherwise: by the model, or as they were asked for where that is not enough.

    Args:
        names: of their models.
        told: as they were asked for, no two alike.
        taken: what the bundles are called.
    """
    short = [name if name not in taken else f"{name} (baseline)" for name in names]
    return [
        text if short.count(label) > 1 and text not in taken else label for label, text in zip(short, told, strict=True)
    ]


def _measure_baseline(test: _Test, baseline: _Baseline, questions: Questions, label: str) -> ModelResult:
    learned_from = questions.learned_from
    model = catalog.create(baseline.name, learned_from.n_items, baseline.config)
    assert isinstance(model, ClosedFormRecommender)
    model.fit(shown_to(model, signed(learned_from.matrix, questions.dislikes)))
    return test.take(model, label, _describe(baseline.name, catalog.described(baseline.config), learned_from.n_users))


def _describe(model: str, settings: Mapping[str, Any], n_users: int) -> str:
    chosen = ", ".join(f"{key} {value}" for key, value in settings.items() if value != "")
    return f"{model}{f' ({chosen})' if chosen else ''}, learned from {n_users:,} users"


def _compare(ours: ModelResult, theirs: ModelResult) -> list[Difference]:
    mine, other = ours.evaluation.per_user, theirs.evaluation.per_user
    gaps = {name: mine[name] - other[name] for name in mine}
    whole = [name for name, gap in gaps.items() if not np.isnan(gap).any()]
    found: dict[str, Interval] = {}
    if whole:
        stacked = np.stack([gaps[name] for name in whole], axis=1)
        found = dict(zip(whole, bootstrap_means(stacked), strict=True))
    for name, gap in gaps.items():
        if name not in found and (counted := gap[~np.isnan(gap)]).size:
            [found[name]] = bootstrap_means(counted[:, None])
    return [Difference(theirs.label, name, found[name]) for name in gaps if name in found]

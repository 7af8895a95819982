"""What `recsys evaluate` is asked besides the figures of whole lists: groups of users, rules, impressions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.evaluation.impressions import Shown
from recsys_vae.data.signals import Repeat
from recsys_vae.evaluation import counterfactual
from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.evaluation.counterfactual import Counterfactual
from recsys_vae.evaluation.user_groups import UserGroup, Z
from recsys_vae.reranking.rules import NO_RULES, Rules

BEYOND = ("gini@20", "popularity-lift@20", "diversity@20")
OF_LISTS = ("miscalibration@20[{}]", "diversity@20[{}]")
"""Asked for by the word `beyond`: these, and those of each column of the items that holds several values."""
LARGEST_OFFSET = 0.2
"""Of the weight from 1, before it is warned of."""
WORDS = ("accuracy", "beyond")
"""That stand for several metrics."""


@dataclass(frozen=True)
class Further:
    """What is asked besides the figures of the whole lists.

    Attributes:
        by: column of the users whose groups are told apart; "" for none.
        rules: of re-ranking, whose cost is measured.
        k: length of the lists that rules and impressions speak of.
        repeat: whether items of the history may stand in the lists, or nothing else.
        impressions: file of what was shown, with propensities; None for none.
        largest_weight: of an impression.
    """

    by: str = ""
    rules: Rules = NO_RULES
    k: int = 20
    repeat: Repeat = "exclude"
    impressions: Path | None = None
    largest_weight: float = math.inf


NOTHING_FURTHER = Further()


@dataclass(frozen=True, eq=False)
class Earned:
    """What a model's lists would have earned, beside the impressions.

    Attributes:
        label: of the model.
        estimated: it.
        difference: what is served minus this model, by estimator, with its interval; empty for what is served.
    """

    label: str
    estimated: Counterfactual
    difference: dict[str, Interval]


def named_metrics(metrics: Sequence[str], accuracy: Sequence[str], items: pl.DataFrame) -> tuple[str, ...]:
    """The metrics, `accuracy` and `beyond` replaced by what they stand for.

    Args:
        metrics: as asked for.
        accuracy: what the first word stands for.
        items: table of the items, whose columns of several values the second speaks of.
    """
    several = [name for name, kind in items.schema.items() if isinstance(kind, pl.List)]
    words = {"accuracy": accuracy, "beyond": (*BEYOND, *(form.format(c) for c in several for form in OF_LISTS))}
    return tuple(dict.fromkeys(name for metric in metrics for name in words.get(metric, (metric,))))


def earnings(results: Sequence[tuple[str, Counterfactual | None]]) -> tuple[Earned, ...]:
    """Of each model, the first one being what is served; nothing where there are no impressions."""
    known = [(label, one) for label, one in results if one is not None]
    return tuple(
        Earned(label, one, {name: _gap(known[0][1], one, name) for name in counterfactual.ESTIMATORS} if place else {})
        for place, (label, one) in enumerate(known)
    )


def of_estimates(earned: Sequence[Earned]) -> list[str]:
    """What to know of counterfactual estimates that come from too little, or from propensities that do not fit."""
    told = []
    for one in earned:
        found = one.estimated
        if found.is_thin:
            told.append(
                f"{one.label}: its lists have only {found.effective:,.0f} effective impressions in common with what "
                "was shown: the estimates say little. Show more items at random, or ask for longer lists (--k)."
            )
        elif not 1 - LARGEST_OFFSET <= found.weight <= 1 + LARGEST_OFFSET:
            told.append(
                f"{one.label}: weights add up to {found.weight:.2f} a place where 1 is expected: propensities are not "
                "those of the items shown, or some items could not be shown at all. SNIPS suffers least."
            )
    return told


def further_as_json(
    further: Further, groups: Mapping[str, Sequence[UserGroup]], earned: Sequence[Earned], shown: Shown | None
) -> dict[str, Any]:
    """What was asked besides, where it was."""
    told: dict[str, Any] = {}
    if further.rules:
        told["rules"] = {"k": further.k, "rules": str(further.rules)}
    if groups:
        told["groups"] = {
            "by": further.by,
            "metrics": {
                metric: [
                    {"group": group.name, "users": group.size, "mean": number(group.mean),
                     "standard_error": number(group.standard_error), "gap": _ends(group.gap)}
                    for group in found
                ]
                for metric, found in groups.items()
            },
        }  # fmt: skip
    if shown is not None:
        told["counterfactual"] = {
            "k": further.k,
            "impressions": len(shown.impressions.items),
            "of_other_users": shown.n_strangers,
            "of_unknown_items": shown.n_unknown,
            "models": {one.label: _earned_as_json(one) for one in earned},
        }
    return told


def _earned_as_json(earned: Earned) -> dict[str, Any]:
    found = earned.estimated
    told: dict[str, Any] = {
        "logged": {"mean": number(found.logged), "standard_error": number(found.logged_error)},
        "matched": found.matched,
        "effective": found.effective,
        "weight": number(found.weight),
        "clipped": found.clipped,
    }
    for one in found.estimates:
        gap = earned.difference.get(one.estimator)
        told[one.estimator] = {"mean": number(one.value), "standard_error": number(one.standard_error)}
        if gap is not None:
            told[one.estimator]["served_minus_this"] = _ends(gap)
    return told


def _ends(interval: Interval) -> dict[str, float | None]:
    return {"difference": number(interval.difference), "low": number(interval.low), "high": number(interval.high)}


def _gap(ours: Counterfactual, theirs: Counterfactual, estimator: str) -> Interval:
    middle, error = counterfactual.difference(ours, theirs, estimator)
    return Interval(middle, middle - Z * error, middle + Z * error, 0.95)


def number(value: float) -> float | None:
    """A value of JSON: what is not a number is null."""
    return value if math.isfinite(value) else None

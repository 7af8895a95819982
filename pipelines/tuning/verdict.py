"""Verdict: whether weights and dislikes help a model, as a search has found; where they do not, binary stays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.tuning.trial import VALUES, Outcome
from recsys_vae.evaluation.bootstrap import Interval, paired_bootstrap
from recsys_vae.models.search_space import Value

MOST_USERS = 20_000
"""Validation users whose values are kept of the best trials."""


@dataclass(frozen=True)
class Verdict:
    """Which trial a search recommends.

    Attributes:
        best: that trial.
        remark: what is to be said of weights and dislikes; empty where none were tried.
    """

    best: Outcome
    remark: str


def decide(outcomes: Sequence[Outcome], weighs: Callable[[Mapping[str, Value]], bool]) -> Verdict | None:
    """The best trial, but one that goes by yes or no unless weights or dislikes are measurably better.

    Args:
        outcomes: of all trials.
        weighs: whether a model with such settings goes by weights or dislikes.

    Returns:
        None where no trial ran to its end.
    """
    plain = best_of([outcome for outcome in outcomes if not weighs(outcome.settings)])
    weighed = best_of([outcome for outcome in outcomes if weighs(outcome.settings)])
    if plain is None or weighed is None:
        best = plain or weighed
        return None if best is None else Verdict(best, "")
    interval = _interval(weighed, plain)
    words = _words(weighed, plain, interval)
    if (weighed.value or 0.0) > (plain.value or 0.0) and interval is not None and interval.low > 0:
        return Verdict(weighed, f"Weights and dislikes help: {words}.")
    return Verdict(plain, f"Weights and dislikes do not measurably help, binary stays: {words}.")


def best_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The trial with the highest value among those that ran to their end, the earliest of equal ones."""
    complete = [outcome for outcome in outcomes if not outcome.pruned and outcome.value is not None]
    return max(complete, key=lambda outcome: outcome.value or 0.0, default=None)


def _interval(weighed: Outcome, plain: Outcome) -> Interval | None:
    """Of the difference, paired over the validation users; None where their values were not kept."""
    ours, theirs = (outcome.facts.get(VALUES) for outcome in (weighed, plain))
    if not ours or not theirs or len(ours) != len(theirs):
        return None
    return paired_bootstrap(np.array(ours), np.array(theirs))


def _words(weighed: Outcome, plain: Outcome, interval: Interval | None) -> str:
    difference = (weighed.value or 0.0) - (plain.value or 0.0)
    found = (
        f"the best with them, trial {weighed.number}, minus the best without, trial {plain.number}, {difference:+.4f}"
    )
    return found if interval is None else f"{found}, 95 % {interval.low:+.4f} to {interval.high:+.4f}"

"""Recommendation: the simplest model that is not measurably worse than the best, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from recsys_vae.evaluation.bootstrap import Interval, bootstrap_means
from recsys_vae.evaluation.metrics import Float64Array

CONFIDENCE = 0.95
WORTH_SEEING = 0.05
"""Share of the best model's value: a difference that one would want to see."""
POPULARITY = "popularity"


@dataclass(frozen=True)
class Rival:
    """A model beside the best one.

    Attributes:
        model: its name.
        value: mean of the metric that decides.
        interval: of its difference to the best one; None for the best one itself.
        simplicity: the smaller, the simpler.
    """

    model: str
    value: float
    interval: Interval | None
    simplicity: tuple[int, int, float]

    @property
    def is_worse(self) -> bool:
        """Measurably: all of the interval lies below zero."""
        return self.interval is not None and self.interval.is_known and self.interval.high < 0


@dataclass(frozen=True)
class Recommendation:
    """What to ship.

    Attributes:
        pick: name of the model.
        rivals: all models, the best first.
        metric: that decides.
        n_users: who were asked.
    """

    pick: str
    rivals: tuple[Rival, ...]
    metric: str
    n_users: int

    @property
    def best(self) -> Rival:
        """The model with the highest mean."""
        return self.rivals[0]

    @property
    def of_pick(self) -> Rival:
        """The one that is recommended."""
        return next(rival for rival in self.rivals if rival.model == self.pick)

    def reasons(self) -> list[str]:
        """Why, in words."""
        best, pick = self.best, self.of_pick
        at_best = f"{self.metric} {best.value:.4f} on the {self.n_users:,} validation users"
        if pick.model == best.model:
            why = f"{pick.model} reaches the highest {at_best}{self._beside_simpler(pick)}."
        else:
            assert pick.interval is not None
            why = (
                f"{best.model} reaches the highest {at_best}. {pick.model}, at {pick.value:.4f}, is the simplest that "
                f"is not measurably worse: its difference is {words(pick.interval)}."
            )
        let_through = [rival for rival in self._simpler_than(pick) if not rival.is_worse]
        return [why, *map(self._passed_over, let_through)]

    def _simpler_than(self, pick: Rival) -> list[Rival]:
        return [rival for rival in self.rivals if rival.simplicity < pick.simplicity]

    def _beside_simpler(self, best: Rival) -> str:
        """How the best model, where it is the pick, stands beside simpler ones."""
        simpler = self._simpler_than(best)
        if not simpler:
            return ", and it is the simplest"
        return ", all simpler models measurably less" if all(rival.is_worse for rival in simpler) else ""

    def _passed_over(self, rival: Rival) -> str:
        ahead = next(other for other in self.rivals if _stands_above(other, rival))
        return (
            f"{rival.model}, at {rival.value:.4f}, is simpler, and not measurably worse only as values differ so much "
            f"from user to user: {ahead.model}, simpler still, reaches {ahead.value:.4f}."
        )

    def limits(self) -> list[str]:
        """What cannot be known from so few users."""
        return [*self._of_two_users(), *self._of_reach(), *self._of_popularity()]

    def _of_two_users(self) -> list[str]:
        if self.n_users > 1 or len(self.rivals) < 2:
            return []
        return ["One user was asked: nothing can be said of differences between models. The simplest is recommended."]

    def _of_reach(self) -> list[str]:
        """The smallest difference that could have been seen, and how many users a small one takes."""
        known = [
            r.interval for r in self.rivals if r.interval and r.interval.is_known and r.interval.high > r.interval.low
        ]
        alike = [interval for rival, interval in self._not_worse() if interval in known]
        if not alike or self.best.value <= 0:
            return []
        reach = max((interval.high - interval.low) / 2 for interval in alike)
        wanted = WORTH_SEEING * self.best.value
        if reach <= wanted:
            return []
        users = math.ceil(self.n_users * (reach / wanted) ** 2)
        return [
            f"Differences below about {reach:.3f} cannot be seen with {self.n_users:,} users; to see "
            f"{100 * WORTH_SEEING:.0f} % of the best ({wanted:.3f}) takes some {_rounded(users):,}."
        ]

    def _of_popularity(self) -> list[str]:
        if self.pick != POPULARITY or len(self.rivals) < 2:
            return []
        return [
            f"No model is measurably better than {POPULARITY} on these users. That does not say that none is: ask more "
            "users, and until then nothing speaks for more than counting."
        ]

    def _not_worse(self) -> list[tuple[Rival, Interval]]:
        return [(rival, rival.interval) for rival in self.rivals if rival.interval is not None and not rival.is_worse]


def recommend(
    values: Mapping[str, Float64Array], simplicity: Mapping[str, tuple[int, int, float]], metric: str
) -> Recommendation:
    """The simplest model whose difference to the best one has an interval that reaches zero, but for those that a
    simpler one is ahead of: they are let through by the width of their interval alone.

    Args:
        values: of the metric that decides, by model, of the same users in the same order, shape (n_users,).
        simplicity: by model; the smaller, the simpler.
    """
    means = {model: float(found.mean()) for model, found in values.items()}
    order = sorted(means, key=lambda model: (-means[model], simplicity[model]))
    best = order[0]
    rivals = [
        Rival(
            model, means[model], None if model == best else difference(values[model], values[best]), simplicity[model]
        )
        for model in order
    ]
    alike = [one for one in rivals if not one.is_worse and not any(_stands_above(other, one) for other in rivals)]
    pick = min(alike, key=lambda rival: rival.simplicity)
    return Recommendation(pick.model, tuple(rivals), metric, len(values[best]))


def _stands_above(other: Rival, rival: Rival) -> bool:
    """Whether a model is simpler than another one and ahead of it."""
    return other.value > rival.value and other.simplicity < rival.simplicity


def best_parts(values: Mapping[str, float], kinds: Mapping[str, bool]) -> tuple[str, str] | None:
    """The best model by gradient and the best in closed form, of which a blend is made; None where one is missing.

    Args:
        values: by model.
        kinds: whether it is trained by gradient, by model.
    """
    by_gradient = [model for model in values if kinds[model]]
    solved = [model for model in values if not kinds[model] and model != POPULARITY]
    if not by_gradient or not solved:
        return None
    return max(by_gradient, key=lambda model: values[model]), max(solved, key=lambda model: values[model])


def difference(ours: Float64Array, theirs: Float64Array) -> Interval:
    """Mean difference with its interval, paired over users, shape (n_users,) each."""
    return bootstrap_means((ours - theirs)[:, None], confidence=CONFIDENCE)[0]


def words(interval: Interval) -> str:
    """A difference with its ends."""
    if not interval.is_known:
        return f"{interval.difference:+.4f}, without an interval"
    return f"{interval.difference:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def _rounded(number: int) -> int:
    """To two figures."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step

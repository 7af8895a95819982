"""Blending: the best model that is trained by gradient and the best in closed form, as one more candidate; and these
with a third part, where that is measurably better.

The third part is that of the others which helps the two most at a fixed share: greedy forward selection, as Caruana et
al., Ensemble Selection from Libraries of Models (2004). Its share, and theirs, are then chosen anew.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pipelines.free_memory import free_memory
from pipelines.selection.candidates import BLEND, Candidate, Contest
from pipelines.selection.recommendation import POPULARITY, best_parts, difference
from pipelines.selection.schedule import Done
from pipelines.selection.trials import Task
from pipelines.training.fit import ModelSpec
from pipelines.training.model_settings import OF_THE_DATA
from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.metrics import Float64Array
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.models.cost import Cost
from recsys_vae.protocols import Recommender
from recsys_vae.training.blend_weight import choose_shares
from recsys_vae.training.spec import suited

FIRST_SHARE = 0.2
"""Of a third part, while it is seen which one helps most."""
LOOKS = 40
"""So many shares of three parts are looked at, about, until the best are found."""

Part = tuple[Candidate, int]
"""A model and which of its settings."""


@dataclass(frozen=True)
class Three:
    """A blend of two with a third part.

    Attributes:
        model: it.
        third: name of that part.
        value: of the metric that decides.
        gain: over the two; the interval is paired over the validation users.
    """

    model: Blend
    third: str
    value: float
    gain: Interval

    @property
    def is_better(self) -> bool:
        """Measurably: all of the interval lies above zero."""
        return self.gain.is_known and self.gain.low > 0


def best_two(contest: Contest, best: Mapping[str, Done]) -> tuple[Part, Part] | None:
    """The best model by gradient and the best in closed form, of those that a blend can be made of; None where one is
    missing.

    Args:
        best: trial of each model.
    """
    kinds = {one.name: one.is_trained for one in contest.candidates if _can_blend(one)}
    found = best_parts({name: best[name].value or 0.0 for name in kinds if name in best}, kinds)
    if found is None:
        return None
    trained, solved = ((contest.of(name), best[name].choice) for name in found)
    return trained, solved


def thirds(contest: Contest, best: Mapping[str, Done], two: tuple[Part, Part]) -> list[Part]:
    """The models that could be a third part and fit the memory, with the settings of their best trial.

    Of those trained by gradient, the ones that a blend would train as they were: to the end, by its own training.
    """
    training, taken = two[0][0].spec(two[0][1]).training, {one.name for one, _ in two}
    free = free_memory()

    def is_free(candidate: Candidate) -> bool:
        done = best.get(candidate.name)
        if done is None or candidate.name in {*taken, POPULARITY} or not _can_blend(candidate):
            return False
        if candidate.cost and candidate.cost.n_bytes > free:
            return False
        as_further = suited(training, candidate.name)
        return not candidate.is_trained or (not done.until and candidate.spec(done.choice).training == as_further)

    return [(one, best[one.name].choice) for one in contest.candidates if is_free(one)]


def blend_of(parts: Sequence[Part]) -> Candidate:
    """Models with their settings, one by gradient, one in closed form and any further ones, the shares left open."""
    (trained, choice), (solved, _), *more = parts
    settings: dict[str, object] = {"autoencoder": trained.name, "linear": solved.name}
    if more:
        settings["more"] = ",".join(one.name for one, _ in more)
    names = chain(("autoencoder", "linear"), (f"more.{number}" for number in range(1, 1 + len(more))))
    for part, (one, number) in zip(names, parts, strict=True):
        chosen = catalog.described(one.spec(number).config)
        settings |= {f"{part}.{name}": value for name, value in chosen.items() if name not in OF_THE_DATA}
    base = ModelSpec(BLEND, catalog.configure(BLEND, settings), trained.spec(choice).training)
    known = [one.cost for one, _ in parts if one.cost]
    cost = Cost(sum(one.n_bytes for one in known), sum(one.operations for one in known))
    return Candidate(base, ({},), cost if len(known) == len(parts) else None)


def with_third(
    task: Task,
    blend: Blend,
    two: tuple[Part, Part],
    others: Sequence[Part],
    load: Callable[[str], Recommender],
    left: Callable[[], float],
) -> Three | None:
    """A blend of two with the one of the others that helps it most.

    Args:
        blend: of the two, as it was fitted.
        others: models that could be a third part.
        load: gives one of these as it was fitted.
        left: seconds that there are for this.

    Returns:
        None where nothing helps, or the time is too short.
    """
    trained, linear = blend.config.shares
    first = [(1 - FIRST_SHARE) * trained, (1 - FIRST_SHARE) * linear, FIRST_SHARE]
    found, value = None, task.value(blend)
    for other in others:
        started = time.monotonic()
        config = blend_of([*two, other]).base.config
        tried = Blend(blend.n_items, config, [blend.autoencoder, blend.linear, load(other[0].name)])
        tried.share_out(first)
        reached = task.value(tried)
        if reached > value:
            found, value = tried, reached
        if left() < LOOKS * (time.monotonic() - started):
            return None
    if found is None:
        return None
    choose_shares(found, task.asked, task.metric)
    if not found.config.more:
        return None
    ours, theirs = _values(task, found), _values(task, blend)
    return Three(found, found.config.more[0].model, float(ours.mean()), difference(ours, theirs))


def _values(task: Task, model: Recommender) -> Float64Array:
    return evaluate(model, task.asked, [task.metric]).per_user[task.metric]


def _can_blend(candidate: Candidate) -> bool:
    """Whether a blend can be made of it: a blend hands no metadata on."""
    return candidate.base.is_hybrid or not candidate.base.may_take_metadata

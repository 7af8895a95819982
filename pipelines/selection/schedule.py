"""Schedule: what is tried next. It goes by what was tried before and by the time that is left, and by nothing else, so
that a comparison that was interrupted goes on as it would have.

1. Models in closed form with their defaults, the cheapest first: their costs are known.
2. Other settings of these, in turns, within a share of the time.
3. Models that are trained by gradient: a twentieth of their epochs with the defaults, then with other settings, within
   another share.
4. Successive halving: the best of each model, and the best third of all, go on to three twentieths; the best third of
   these, two at least, to their end or to the end of the time.

Source: Jamieson & Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization (2016), with a
rate of 3 as Li et al., Hyperband (2018), recommend.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.selection.candidates import Candidate

RATE = 3
FIRST = 20
"""The first look at a model is this part of its epochs."""
FEWEST = 3
"""And no fewer epochs than these."""
SHARE_OF_SOLVED, SHARE_OF_LOOKS = 0.35, 0.3
"""Of the whole time: other settings of models in closed form, and first looks at the others."""
MOST_OF_THE_REST = 0.5
"""No single trial is begun that is expected to take more of what is left."""


@dataclass(frozen=True)
class Job:
    """One thing to do.

    Attributes:
        model: its name.
        choice: which settings.
        until: pause after so many epochs; 0: to the end.
    """

    model: str
    choice: int
    until: int = 0


@dataclass(frozen=True)
class Done:
    """What came of a job; of one that was gone on with, all of it together.

    Attributes:
        model, choice: as in the job.
        until: of the latest job.
        value: of the metric on validation, the best so far; None where it failed.
        seconds: of all of it.
        training: seconds of training alone.
        epochs: that were run; 0 for models in closed form.
        reason: why it failed; empty where it did not.
    """

    model: str
    choice: int
    until: int
    value: float | None
    seconds: float
    epochs: int = 0
    training: float = 0.0
    reason: str = ""


def next_job(candidates: Sequence[Candidate], done: Sequence[Done], budget: float, left: float) -> Job | None:
    """What to do next; None where there is nothing worth beginning.

    Args:
        candidates: cheapest first.
        budget: seconds, all in all.
        left: seconds of them.
    """
    state = _State(candidates, {(one.model, one.choice): one for one in done}, budget, left)
    return None if left <= 0 else next(state.jobs(), None)


def least_left(candidates: Sequence[Candidate]) -> float:
    """Seconds that must be left for anything to be begun, as far as costs tell."""
    state = _State(candidates, {}, 0.0, 0.0)
    return min(state.expected(one) for one in candidates) / MOST_OF_THE_REST


def survivors(candidates: Sequence[Candidate], done: Sequence[Done]) -> list[Done]:
    """Trials of models by gradient that go on after their first look."""
    return _State(candidates, {(one.model, one.choice): one for one in done}, 0.0, 0.0).going_on()


def rungs(epochs: int) -> tuple[int, ...]:
    """After how many epochs a training pauses; 0: at its end."""
    first = max(FEWEST, -(-epochs // FIRST))
    return tuple(dict.fromkeys(rung if rung < epochs else 0 for rung in (first, RATE * first, epochs)))


@dataclass(frozen=True)
class _State:
    candidates: Sequence[Candidate]
    done: dict[tuple[str, int], Done]
    budget: float
    left: float

    def jobs(self) -> Iterator[Job]:
        solved = [one for one in self.candidates if not one.is_trained]
        trained = [one for one in self.candidates if one.is_trained]
        yield from self._first(solved)
        yield from self._others(solved, SHARE_OF_SOLVED)
        yield from self._first(trained)
        yield from self._others(trained, SHARE_OF_LOOKS)
        yield from self._halving(trained)

    def _first(self, candidates: Sequence[Candidate]) -> Iterator[Job]:
        for one in candidates:
            if (one.name, 0) not in self.done and self.expected(one) <= MOST_OF_THE_REST * self.left:
                yield Job(one.name, 0, _rungs_of(one)[0])

    def _others(self, candidates: Sequence[Candidate], share: float) -> Iterator[Job]:
        """Choice by choice, so that every model has had as many when the share is used up."""
        names = {one.name for one in candidates}
        spent = sum(one.seconds for one in self.done.values() if one.model in names and one.choice)
        for choice in range(1, max((len(one.choices) for one in candidates), default=0)):
            for one in candidates:
                if choice >= len(one.choices) or (one.name, choice) in self.done or not self._works(one):
                    continue
                if spent + self.expected(one) <= share * self.budget and self.expected(one) <= self.left:
                    yield Job(one.name, choice, _rungs_of(one)[0])

    def _halving(self, trained: Sequence[Candidate]) -> Iterator[Job]:
        """The next rung of those who have come far enough; the best first, as the time may end."""
        whole = {one.name: one for one in trained}
        first = self.going_on()
        yield from self._raised(first, whole, 1)
        second = [run for run in first if _has_reached(run, _rungs_of(whole[run.model]), 1)]
        yield from self._raised(_survivors(second, best_of_each=False), whole, 2)

    def going_on(self) -> list[Done]:
        """Who goes on after the first look, the best first. Whoever went on has not become worse, so these stay."""
        trained = {one.name for one in self.candidates if one.is_trained}
        runs = [run for run in self.done.values() if run.model in trained and run.value is not None]
        return _survivors(sorted(runs, key=_standing), best_of_each=True)

    def _raised(self, runs: Sequence[Done], whole: dict[str, Candidate], rung: int) -> Iterator[Job]:
        for run in runs:
            all_rungs = _rungs_of(whole[run.model])
            if rung < len(all_rungs) and not _has_reached(run, all_rungs, rung):
                yield Job(run.model, run.choice, all_rungs[rung])

    def _works(self, candidate: Candidate) -> bool:
        run = self.done.get((candidate.name, 0))
        return run is not None and run.value is not None

    def expected(self, candidate: Candidate) -> float:
        """Seconds of its first look: as measured, else as its cost tells; 0 where nothing is known."""
        looks = _rungs_of(candidate)[0] or 1
        measured = [one for one in self.done.values() if one.model == candidate.name]
        if candidate.is_trained and measured:
            return looks * max(one.seconds / max(1, one.epochs) for one in measured)
        if measured:
            return max(one.seconds for one in measured)
        return 0.0 if candidate.seconds is None else looks * candidate.seconds


def _rungs_of(candidate: Candidate) -> tuple[int, ...]:
    return rungs(candidate.base.training.epochs) if candidate.is_trained else (0,)


def _has_reached(run: Done, all_rungs: tuple[int, ...], rung: int) -> bool:
    """Whether it has come so far; beyond counts."""
    return run.until == 0 or (rung < len(all_rungs) and 0 < all_rungs[rung] <= run.until)


def _standing(run: Done) -> tuple[float, str, int]:
    return -(run.value or 0.0), run.model, run.choice


def _survivors(standing: Sequence[Done], *, best_of_each: bool) -> list[Done]:
    """The best third, two at least; besides, if wanted, the best of every model."""
    kept = list(standing[: max(2, -(-len(standing) // RATE))])
    if best_of_each:
        seen = {run.model for run in kept}
        for run in standing:
            if run.model not in seen:
                seen.add(run.model)
                kept.append(run)
    return sorted(kept, key=_standing)

from dataclasses import replace

import pytest

from pipelines.selection.candidates import Candidate
from pipelines.selection.schedule import Done, Job, next_job, rungs, survivors
from pipelines.training.model_settings import specify
from recsys_vae.training.config import TrainingConfig

EPOCHS = 60  # rungs: 3, 9, the end


def candidate(name: str, choices: int = 2, seconds: float | None = 1.0) -> Candidate:
    base = specify(name, {}, TrainingConfig(epochs=EPOCHS))
    return Candidate(base, ({},) * choices, seconds=seconds)


POPULARITY, EASE = candidate("popularity", 1, 0.1), candidate("ease")
VAE, ELSA = candidate("mult-vae", 3), candidate("elsa", 3)
ALL = (POPULARITY, EASE, VAE, ELSA)


def played(candidates: tuple[Candidate, ...], values: dict[tuple[str, int], float], budget: float = 1e4) -> list[Job]:
    """The jobs that are done when each takes a second, or a second an epoch."""
    done: dict[tuple[str, int], Done] = {}
    jobs: list[Job] = []
    spent = 0.0
    while job := next_job(candidates, list(done.values()), budget, budget - spent):
        epochs = 0 if job.model in ("popularity", "ease") else job.until or EPOCHS
        spent += epochs or 1
        jobs.append(job)
        value = values.get((job.model, job.choice), 0.1)
        done[job.model, job.choice] = Done(job.model, job.choice, job.until, value, float(epochs or 1), epochs)
        assert len(jobs) < 100
    return jobs


def test_rungs_rise_by_threes_and_end_at_the_end() -> None:
    assert rungs(200) == (10, 30, 0)
    assert rungs(60) == (3, 9, 0)
    assert rungs(5) == (3, 0)
    assert rungs(3) == rungs(1) == (0,)


def test_known_costs_come_first_then_first_looks_then_the_best_go_on() -> None:
    values = {("mult-vae", 1): 0.9, ("elsa", 0): 0.5, ("elsa", 2): 0.4}
    jobs = played(ALL, values)
    assert jobs[:3] == [Job("popularity", 0), Job("ease", 0), Job("ease", 1)]
    assert jobs[3:9] == [Job(name, choice, 3) for choice in range(3) for name in ("mult-vae", "elsa")]
    # The best third of six, of which each model has one; both go on to the end.
    assert jobs[9:] == [Job("mult-vae", 1, 9), Job("elsa", 0, 9), Job("mult-vae", 1), Job("elsa", 0)]


def test_every_model_keeps_its_best_after_the_first_look() -> None:
    values = {("mult-vae", 0): 0.9, ("mult-vae", 1): 0.8, ("mult-vae", 2): 0.7, ("elsa", 1): 0.2}
    jobs = played((VAE, ELSA), values)
    assert [job for job in jobs if job.until == 9] == [Job("mult-vae", 0, 9), Job("mult-vae", 1, 9), Job("elsa", 1, 9)]
    assert [job for job in jobs if job.until == 0] == [Job("mult-vae", 0), Job("mult-vae", 1)]


def test_what_is_expected_to_take_more_than_half_of_what_is_left_is_not_begun() -> None:
    slow = replace(EASE, seconds=60.0)
    assert next_job((slow,), [], 100.0, 100.0) is None
    assert next_job((slow,), [], 200.0, 200.0) == Job("ease", 0)
    assert next_job((replace(EASE, seconds=None),), [], 100.0, 1.0) == Job("ease", 0)  # an unknown cost
    assert next_job(ALL, [], 100.0, 0.0) is None


def test_other_settings_stay_within_their_share_of_the_time() -> None:
    many = candidate("ease", 9)
    assert played((many,), {}, budget=10.0) == [Job("ease", choice) for choice in range(4)]  # 3 s of 3.5


def test_what_failed_is_not_tried_with_other_settings() -> None:
    failed = Done("ease", 0, 0, None, 1.0, reason="no")
    assert next_job((EASE,), [failed], 100.0, 100.0) is None


def test_a_run_that_the_time_cut_short_goes_on() -> None:
    cut = Done("elsa", 0, 5, 0.5, 5.0, 5)  # between two rungs
    others = [Done("elsa", choice, 3, 0.1, 3.0, 3) for choice in (1, 2)]
    assert next_job((ELSA,), [cut, *others], 1e4, 1e4) == Job("elsa", 0, 9)


def test_only_those_who_go_on_survive() -> None:
    done = [Done("mult-vae", choice, 3, 0.1 * choice, 3.0, 3) for choice in range(3)]
    assert [one.choice for one in survivors((VAE,), done)] == [2, 1]


@pytest.mark.parametrize("name", ["ease", "elsa"])
def test_nothing_is_left_to_try_when_all_is_done(name: str) -> None:
    one = candidate(name, 1)
    assert next_job((one,), [Done(name, 0, 0, 0.1, 1.0, EPOCHS)], 100.0, 100.0) is None

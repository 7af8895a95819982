"""Erasure in the weekly job: who is found leaves the dataset, and nothing of them outlives the run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.retraining import exit_status, job
from pipelines.retraining.config import Collect, RetrainConfig
from pipelines.retraining.delivery_steps import Clean, CleanEvents, limits_of
from pipelines.retraining.erasure_steps import BEFORE, FOUND, LIST, Erase, FindErased, erase_options, erased_users
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.errors import DataError

CONFIG = RetrainConfig(name="shop", collect=Collect(store=True))


class Verbs:
    """Stands for the store's and the dataset's verbs."""

    def __init__(self, erased: Sequence[str]) -> None:
        self.erased, self.asked = erased, list[str]()

    def __call__(self, arguments: Sequence[str]) -> int:
        self.asked.append(arguments[0])
        if arguments[0] == "erased-users":
            Path(arguments[4]).write_text("user_id,erased_at\n" + "".join(f"{user},\n" for user in self.erased))
            print(json.dumps({"users": 7, "erased": len(self.erased)}))
        elif arguments[0] == "erase":
            print("erased: 1 of 1 users, with 2 interactions")
        return 0


class Look:
    """A step after them, which says what an update would be told, and may fail."""

    name = "look"

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.seen = fails, list[tuple[Any, ...]]()

    def prepare(self, run: Run) -> Work | Skip:
        return Work(act=lambda: self._look(run))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        return Result()

    def _look(self, run: Run) -> dict[str, Any]:
        options = erase_options(run)
        self.seen.append((list(erased_users(run).values), options, [Path(one).exists() for one in options[1::2]]))
        if self.fails:
            raise DataError("the disk is gone")
        return {}


@pytest.fixture(autouse=True)
def dataset(recsys_home: Path) -> Path:
    folder = recsys_home / "datasets" / "shop"
    folder.mkdir(parents=True)
    (folder / "interactions.parquet").write_bytes(b"rows")
    (folder / "summary.json").write_text('{"dataset": "shop", "rows_in": 1, "kept": {}}')
    return folder


def carry_out(verbs: Verbs, look: Look) -> tuple[int, list[str]]:
    status = job.retrain(CONFIG, verbs, lambda line: None, steps=[FindErased(), Erase(), look])
    run = job.runs(job.job_folder("shop"))[-1]
    return status, [path.name for path in run.iterdir() if path.name in (FOUND, LIST, BEFORE)]


def test_an_update_is_told_and_nothing_is_left_after_the_run() -> None:
    verbs, look = Verbs(["ann"]), Look()
    assert carry_out(verbs, look) == (exit_status.DONE, [])
    assert verbs.asked == ["erased-users", "erase"]
    [(users, options, exist)] = look.seen
    assert (users, options[::2], exist) == (["ann"], ("--erase", "--from"), [True, True])


def test_a_run_that_failed_goes_on_with_what_it_had() -> None:
    failing, look = Look(fails=True), Look()
    status, left = carry_out(Verbs(["ann"]), failing)
    assert (status, sorted(left)) == (exit_status.FAILED, sorted([BEFORE, FOUND, LIST]))
    assert carry_out(Verbs([]), look) == (exit_status.DONE, [])
    assert look.seen == failing.seen


def test_who_has_left_already_is_known_when_the_run_is_taken_up_anew() -> None:
    failing, look = Look(fails=True), Look()
    carry_out(Verbs(["ann"]), failing)
    journal = job.latest(job.job_folder("shop"))
    assert journal is not None
    del journal.steps["find-erased"]  # as where a step before it is done again
    journal.write(job.job_folder("shop") / "runs" / journal.run)
    verbs = Verbs([])
    assert carry_out(verbs, look) == (exit_status.DONE, [])
    assert (verbs.asked[0], look.seen) == ("erased-users", failing.seen)


def test_where_nobody_was_erased_nothing_is_done() -> None:
    verbs, look = Verbs([]), Look()
    assert carry_out(verbs, look) == (exit_status.DONE, [])
    assert (verbs.asked, look.seen) == (["erased-users"], [([], (), [])])


def test_without_the_store_nobody_is_asked() -> None:
    config, verbs = RetrainConfig(name="shop", collect=Collect(logs=("*.csv",))), Verbs(["ann"])
    assert job.retrain(config, verbs, lambda line: None, steps=[FindErased(), Erase()]) == exit_status.DONE
    assert verbs.asked == []


def test_limits_of_the_store_go_to_its_own_verb() -> None:
    asked: list[tuple[str, ...]] = []

    def recsys(arguments: Sequence[str]) -> int:
        asked.append(tuple(arguments))
        print("runs: one, 5 B\nremoved: 1 runs; 5 B")
        return 0

    config = CONFIG.model_copy(update={"clean": {"keep_runs": 3, "events_older_than": 365}})
    job.retrain(config, recsys, lambda line: None, steps=[Clean(), CleanEvents()])
    assert asked == [("clean", "shop", "--keep-runs", "3"), ("clean-events", "--events-older-than", "365")]
    journal = job.latest(job.job_folder("shop"))
    assert journal is not None
    assert journal.steps["clean"].figures == {"removed": "1 runs; 5 B"}
    assert limits_of({}, of_store=True) == {}

"""The weekly job: a champion with a repeat-purchase head and a second stage leads to challengers that have them."""

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.retraining import job
from pipelines.retraining.journal import Journal
from recsys_vae.bundles.bundle import REPEAT, Bundle
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.bundles.second_stage import RANKER
from tests.benchmarks.shop_weeks import BEGIN, Shop
from tests.second_stages import NEEDS_LIGHTGBM

pytestmark = NEEDS_LIGHTGBM
SETTINGS = """name = "shop"
{more}
[collect]
logs = ["{logs}/*.csv"]
[full]
after_updates = {updates}
new_items = 0.9
[train]
model = "ease"
[promote]
limits = "{logs}/gate.toml"
"""
GATE = """tolerance = 0.95
slice_tolerance = 0.95
undecided = "warn"
undecided_slices = "warn"
[guard_rails]
max_top_item = 1.0
max_top_item_rise = 1.0
max_latency_of_champion = 1000.0
"""
"""Lets everything pass: what is made counts here."""


def week(shop: Shop, number: int, logs: Path) -> None:
    """A log of the shop, in which everybody of the first ten comes back to what they have bought before."""
    path = shop.write(number, logs)
    start = int((BEGIN + timedelta(weeks=number)).timestamp())
    with path.open("a", encoding="utf-8") as log:
        log.write("".join(f"{user},{user % 3},{start + user}\n" for user in range(10)))


def retrain(folder: Path, *, more: str = "", updates: int = 3) -> Journal:
    (folder / "weekly.toml").write_text(SETTINGS.format(logs=folder / "logs", more=more, updates=updates))
    done = CliRunner().invoke(build(), ["retrain", "--config", str(folder / "weekly.toml")])
    log = (job.runs(job.job_folder("shop"))[-1] / "log.txt").read_text()
    assert done.exit_code == 0, f"{log}\n{done.output}\n{done.exception}"
    journal = job.latest(job.job_folder("shop"))
    assert journal is not None
    return journal


def parts(journal: Journal) -> set[str]:
    return read_manifest(Path(journal.facts["shipped"])).files.keys() & {REPEAT, RANKER}


@pytest.mark.slow
def test_head_and_second_stage_outlive_the_weeks(
    tmp_path: Path, mlflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "RECSYS_STORE"):
        monkeypatch.delenv(name, raising=False)
    logs, shop = tmp_path / "logs", Shop()
    for number in range(5):
        week(shop, number, logs)
    (logs / "gate.toml").write_text(GATE)
    first = retrain(tmp_path, more='repeats = true\nranker = {train = ["edlae"], leaves = 3}')
    assert parts(first) == {REPEAT, RANKER}
    assert first.facts["challenger_version"] != first.facts["version"]
    week(shop, 5, logs)
    second = retrain(tmp_path, more='ranker = {train = ["edlae"], leaves = 3}')
    assert second.facts["due"]["what"] == "update"
    assert second.steps["ranker"].note == "the update keeps what the champion has"
    assert parts(second) == {REPEAT, RANKER}
    week(shop, 6, logs)
    third = retrain(tmp_path, updates=0)  # a full training, with nothing said of either
    assert third.facts["due"]["what"] == "full training"
    assert parts(third) == {REPEAT, RANKER}
    ranker = Bundle.load(Path(third.facts["shipped"])).ranker
    assert ranker is not None
    assert [name for name, _ in ranker.candidates.further] == ["edlae"]
    week(shop, 7, logs)
    assert parts(retrain(tmp_path, more="repeats = false\nranker = false")) == set()

"""Trials that are measured side by side on a cluster are told as if they had been run one after the other."""

from pathlib import Path

import pytest

from pipelines.cluster.connection import Cluster
from pipelines.dataset.directory import DatasetDir
from pipelines.tuning.measure import Spread
from pipelines.tuning.on_cluster import spread_on
from pipelines.tuning.search import Search
from pipelines.tuning.tune import Tuned, tune
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.ray_clusters import replace_node

VAE = {"hidden": 8, "latent": 2, "batch_size": 16, "epochs": 6, "patience": 0, "device": "cpu"}


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def _told(tuned: Tuned) -> list[object]:
    facts = [{name: v for name, v in one.facts.items() if name not in ("run_id", "seconds")} for one in tuned.outcomes]
    drawn = [(one.number, one.settings, one.value, one.pruned) for one in tuned.outcomes]
    return [drawn, facts, tuned.best.number, tuned.settings_path.read_text()]


def _tuned(dataset: DatasetDir, name: str, at_once: int, spread: Spread | None, trials: int = 8) -> list[object]:
    search = Search.of("mult-vae", VAE, metric="recall@5", seed=3)
    return _told(tune(dataset, search, trials=trials, study=name, at_once=at_once, spread=spread))


@pytest.mark.slow
def test_trials_that_do_not_go_by_others_are_those_of_one_machine(dataset, either: Cluster):
    """Of sixteen trials four are drawn without a look at others."""
    search = Search.of("ease", {}, metric="recall@5", seed=3)
    alone = tune(dataset, search, trials=16, study="alone")
    together = tune(dataset, search, trials=16, study="together", at_once=4, spread=spread_on(either))
    later = [[one.settings for one in found.outcomes[4:]] for found in (together, alone)]
    assert later[0] != later[1]  # drawn by what was known then
    for one, other in zip(together.outcomes[:4], alone.outcomes[:4], strict=True):
        assert (one.number, one.settings, one.value, one.pruned) == (
            other.number, other.settings, other.value, other.pruned
        )  # fmt: skip


def test_a_study_is_the_same_wherever_its_trials_are_measured(dataset, either: Cluster):
    here = _tuned(dataset, "here", 3, None)
    assert _tuned(dataset, "there", 3, spread_on(either)) == here
    drawn = here[0]
    assert isinstance(drawn, list)
    assert any(pruned for *_, pruned in drawn), "no trial was cut short"


def test_a_round_that_was_broken_off_is_ended_first(dataset, within: Cluster):
    search, there = Search.of("ease", {}, metric="recall@5", seed=3), spread_on(within)
    whole = tune(dataset, search, trials=12, study="whole", at_once=4, spread=there)

    def broken_off(task, settings, best):
        for number, run in enumerate(there(task, settings, best)):
            if best is not None and number == 2:
                raise KeyboardInterrupt
            yield run

    with pytest.raises(KeyboardInterrupt):
        tune(dataset, search, trials=12, study="broken", at_once=4, spread=broken_off)
    resumed = tune(dataset, search, trials=12, study="broken", at_once=4, spread=there, resume=True)
    assert [one.settings for one in resumed.outcomes] == [one.settings for one in whole.outcomes]
    assert [one.value for one in resumed.outcomes] == [one.value for one in whole.outcomes]


@pytest.mark.slow
def test_a_node_that_dies_changes_nothing(dataset, started, cluster: Cluster):
    there, killed = spread_on(cluster), []

    def spread(task, settings, best):
        found = there(task, settings, best)
        yield next(found)
        replace_node(started)
        killed.append(best)
        yield from found

    assert _tuned(dataset, "killed", 4, spread) == _tuned(dataset, "here", 4, None)
    assert len(killed) == 2

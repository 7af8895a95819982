"""Figures that a cluster measures are those of one machine."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipelines.cluster.connection import Cluster
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.evaluation.evaluate import METRICS, evaluate_bundle
from pipelines.evaluation.on_cluster import spread_on
from pipelines.evaluation.results import EvaluationRun, as_json
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.evaluation.evaluate import Spread
from tests.pipelines.logs_of_tastes import dataset, frame
from tests.ray_clusters import replace_node
from tests.worlds import untrained


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("world")
    tastes = dataset(folder / "tastes", frame(100))
    make_split(tastes, recipe("strong", min_items=2, heldout=20))
    train = load_split(tastes, "strong").train
    provenance = Provenance(
        dataset="tastes",
        dataset_fingerprint=train.fingerprint(),
        trained_on="split:strong/train",
        n_users=train.n_users,
    )
    model = untrained("mult-vae", train.n_items)
    write_bundle(folder / "bundle", model, train.items, popularity=train.item_counts(), provenance=provenance)
    return folder / "bundle", tastes, "strong"


def _run(world: tuple[Any, ...], spread: Spread | None) -> EvaluationRun:
    asked = [*METRICS, "gini@5", "popularity-lift@5"]
    return evaluate_bundle(*world, baselines=["ease:l2=1.0"], metrics=asked, batch_size=1, spread=spread)


def _figures(run: EvaluationRun) -> list[object]:
    found: list[object] = []
    for one in run.results:
        figures = one.evaluation
        found += [one.label, figures.means, figures.standard_errors, figures.target_ranks.tolist()]
        found += [values.tobytes() for values in figures.per_user.values()]
    return [*found, repr(run.differences), as_json(run)["models"].keys()]


def test_the_figures_are_those_of_one_machine(either: Cluster, world):
    assert _figures(_run(world, spread_on(either))) == _figures(_run(world, None))


@pytest.mark.slow
def test_a_node_that_dies_changes_nothing(started, cluster: Cluster, world):
    killed = []

    def spread(model, held_out, asked, batches):
        def kills() -> Iterator[np.ndarray]:
            for number, rows in enumerate(batches):
                if number == 6:
                    replace_node(started)
                    killed.append(number)
                yield rows

        return spread_on(cluster)(model, held_out, asked, kills())

    assert _figures(_run(world, spread)) == _figures(_run(world, None))
    assert len(killed) == 2

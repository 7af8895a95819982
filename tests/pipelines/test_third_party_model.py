"""A model of another distribution, from `recsys train` to the answer, without a change of this package."""

import subprocess
from pathlib import Path

import pytest

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import BundleError
from tests import third_party
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.prepared import Prepared

USED = """
import sys
dataset, site, trained, fitted = sys.argv[1:]
sys.path.insert(0, site)
import polars as pl
from typer.testing import CliRunner
from pipelines.cli import build
from recsys_vae import Estimator, Interactions, evaluate, load, split

def recsys(*arguments):
    done = CliRunner().invoke(build(), arguments, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output

(listed,) = [line for line in recsys("models").splitlines() if "damped-models 0.3" in line]
assert "popularity, damped" in listed and "power=0.5" in listed, listed
recsys("train", dataset, "--model", "damped", "--set", "power=0.25", "--to", trained)
assert "damped" in recsys("evaluate", trained, dataset, "--split", "strong", "--baselines", "damped:power=1")
assert load(trained).bundle.model.config.power == 0.25

rows = [(f"u{user}", f"i{item}") for user in range(40) for item in range(user % 5 + 3)]
data = Interactions.from_frame(pl.DataFrame(rows, ["user", "item"], orient="row"), user="user", item="item")
parts = split(data, "strong", seed=0)
model = Estimator.of("damped", power=1).fit(parts.train, validation=parts.validation)
assert 0 < evaluate(model, parts.test, ["recall@5"]).means["recall@5"] <= 1
model.save(fitted)
assert load(fitted).recommend([["i0"]], k=3).equals(model.recommend([["i0"]], k=3))
"""


def test_a_model_of_another_package_is_trained_saved_loaded_and_evaluated(
    mlflow_home: Path, tmp_path: Path, prepared: Prepared
) -> None:
    dataset = dataset_of_tastes(mlflow_home / "datasets" / "tastes")
    site = third_party.install(tmp_path / "site")
    bundles = tmp_path / "trained", tmp_path / "fitted"
    done = subprocess.run(
        [*prepared.script(USED), str(dataset.path), str(site), *map(str, bundles)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for bundle in bundles:  # this process has not installed it
        with pytest.raises(BundleError, match=r"damped-models 0\.3, which is not installed"):
            Bundle.load(bundle)

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.training.repeats import learn_repeats
from recsys_vae import repeats
from recsys_vae.bundles.bundle import REPEAT, Bundle
from recsys_vae.bundles.manifest import read_manifest, verify_files
from recsys_vae.errors import DataError
from recsys_vae.recommender import FallbackChain
from tests.pipelines import logs_of_groceries, logs_of_tastes
from tests.recsys_vae.models.test_repeat import MILK, PAN, grocer


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetDir:
    return logs_of_groceries.dataset(tmp_path / "grocer")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return logs_of_groceries.bundle(tmp_path / "bundle")


def recsys(*arguments: str) -> str:
    done = CliRunner().invoke(build(), list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_head_is_that_of_the_log(dataset: DatasetDir, bundle: Path) -> None:
    learned = learn_repeats(dataset, Bundle.load(bundle))
    visits = grocer()
    assert (learned.users, learned.purchases, learned.untimed) == (60, len(visits.users), 0)
    rates = learned.head.tensors()["rates"]
    assert rates[MILK] > 0.9
    assert rates[PAN] < 0.2


def test_a_bundle_with_a_head_is_the_bundle_otherwise(dataset: DatasetDir, bundle: Path, tmp_path: Path) -> None:
    said = recsys("learn-repeats", str(bundle), str(dataset.path), "--to", str(tmp_path / "with"))
    assert "60 users" in said
    assert "had been bought before" in said
    old, new = read_manifest(bundle), read_manifest(tmp_path / "with")
    verify_files(tmp_path / "with", new)
    assert new.version != old.version
    assert {name: digest for name, digest in new.files.items() if name != REPEAT} == dict(old.files)
    assert new.provenance == replace(old.provenance, repeat_cutoff="2024-04-29T00:00:00+00:00")
    chain = FallbackChain(Bundle.load(tmp_path / "with"))
    known = grocer().purchases(grocer().last_days() + 7)
    found = repeats.search(chain, chain.encode(grocer().matrix()), known, 2, "only")
    assert (found.rows[:, 0] == MILK).mean() > 0.5


def test_it_may_be_learned_again_in_its_own_place(dataset: DatasetDir, bundle: Path) -> None:
    for _ in range(2):
        recsys("learn-repeats", str(bundle), str(dataset.path), "--to", str(bundle))
    assert Bundle.load(bundle).repeat is not None


def test_a_dry_run_writes_nothing(dataset: DatasetDir, bundle: Path, tmp_path: Path) -> None:
    said = recsys("learn-repeats", str(bundle), str(dataset.path), "--to", str(tmp_path / "with"), "--dry-run")
    assert "60 users" in said
    assert not (tmp_path / "with").exists()


def test_events_without_times_teach_nothing(bundle: Path, tmp_path: Path) -> None:
    untimed = logs_of_tastes.frame().with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC")))
    with pytest.raises(DataError, match="No event of untimed has a time"):
        learn_repeats(logs_of_tastes.dataset(tmp_path / "untimed", untimed), Bundle.load(bundle))

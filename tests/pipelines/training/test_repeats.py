from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.training.repeats import learn_repeats
from recsys_vae import repeats
from recsys_vae.bundles.bundle import REPEAT, Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance, read_manifest, verify_files
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError
from recsys_vae.models.ials import IALS, IALSConfig
from recsys_vae.recommender import FallbackChain
from tests.pipelines import logs_of_tastes
from tests.recsys_vae.models.test_repeat import MILK, N_ITEMS, PAN, grocer

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetDir:
    """The grocer's log; what was bought again lies with the repeats, as ingest keeps it."""
    visits = grocer()
    events = pl.DataFrame(
        {
            "user_id": [f"u{user:03}" for user in visits.users.tolist()],
            "item_id": [f"i{item}" for item in visits.items.tolist()],
            "event_type": [None] * len(visits.users),
            "weight": [1.0] * len(visits.users),
            "timestamp": [START + timedelta(days=day) for day in visits.days.tolist()],
            "position": [None] * len(visits.users),
        },
        schema_overrides={
            "event_type": pl.String, "weight": pl.Float32, "timestamp": pl.Datetime("us", "UTC"), "position": pl.UInt32,
        },
    )  # fmt: skip
    latest = events.unique(["user_id", "item_id"], keep="last", maintain_order=True).sort("user_id", "item_id")
    made = logs_of_tastes.dataset(tmp_path / "grocer", latest)
    again = events.filter(pl.len().over("user_id", "item_id") > 1)
    again.sort("user_id", "item_id", "timestamp").write_parquet(made.repeats_path)
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    model = IALS(N_ITEMS, IALSConfig(factors=2))
    model.fit(grocer().matrix())
    items = IdMap.from_values(f"i{item}" for item in range(N_ITEMS))
    counts = np.diff(grocer().matrix().tocsc().indptr)
    write_bundle(tmp_path / "bundle", model, items, popularity=counts, provenance=Provenance(dataset="grocer"))
    return tmp_path / "bundle"


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
    assert new.provenance == old.provenance
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

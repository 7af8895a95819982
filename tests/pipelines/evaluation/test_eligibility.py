"""Who may be asked: a bundle of the split itself, or one whose data end before the window begins."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.evaluation.evaluate import evaluate_bundle
from pipelines.evaluation.results import as_json
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.errors import BundleError
from recsys_vae.models.ease import EASE, EASEConfig
from tests.pipelines.logs_of_tastes import START, dataset, frame

HOURS = frame(100).height
CUT = START + timedelta(hours=round(0.8 * HOURS))


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    """The log of today, cut where the published bundle's data ended, and an hour before that."""
    found = dataset(tmp_path_factory.mktemp("later") / "tastes", frame(100))
    for name, test_from in (("after", CUT), ("before", CUT - timedelta(hours=1))):
        make_split(found, recipe("temporal", validation_from=START + timedelta(hours=50), test_from=test_from), name)
    make_split(found, recipe("temporal"), "shares")
    make_split(found, recipe("strong", min_items=2))
    return found


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has learned from everything before the cut, but from one item of today's."""
    folder = tmp_path_factory.mktemp("published")
    log = frame(100).filter(pl.col("timestamp") < CUT)
    log = log.filter(pl.col("item_id") != log["item_id"].min())
    return bundle_of(folder, dataset(folder / "tastes", log))


def bundle_of(folder: Path, learned_from: DatasetDir, cutoff: str | None = "") -> Path:
    interactions = encode(learned_from.interactions())
    model = EASE(interactions.n_items, EASEConfig(l2=1.0))
    model.fit(interactions.matrix)
    provenance = Provenance(
        dataset="tastes", trained_on="all", training_cutoff=learned_from.latest() if cutoff == "" else cutoff
    )
    counts = interactions.item_counts()
    write_bundle(folder / "bundle", model, interactions.items, popularity=counts, provenance=provenance)
    return folder / "bundle"


def test_a_published_bundle_is_measured_on_what_came_after_its_data(later: DatasetDir, published: Path) -> None:
    run = evaluate_bundle(published, later, "after", metrics=["recall@2"], baselines=["popularity", "ease:l2=1.0"])
    test = load_split(later, "after").test
    unknown = test.targets[:, [0]].nnz
    assert run.n_unknown == unknown > 0
    assert run.held_out.targets.nnz == test.targets.nnz - unknown
    assert run.held_out.users == test.users
    told = as_json(run)
    assert (told["targets_of_unknown_items"], told["users"] + told["users_left_out"]) == (unknown, len(test.users))
    # The baseline has learned from the same events, over the same items, so it answers the same.
    bare, twin = run.results[run.bare], run.results[-1]
    assert bare.evaluation.means == pytest.approx(twin.evaluation.means)


@pytest.mark.parametrize(
    ("split", "why"),
    [
        ("before", "up to .*, and the window begins at .* recsys split tastes --protocol temporal --validation-from"),
        ("shares", "and the window begins at"),
        ("strong", "the answers perhaps included"),
    ],
)
def test_one_whose_data_reach_into_the_window_is_refused(
    later: DatasetDir, published: Path, tmp_path: Path, split: str, why: str
) -> None:
    bundle = published if split != "shares" else bundle_of(tmp_path, later)
    with pytest.raises(BundleError, match=why):
        evaluate_bundle(bundle, later, split)


def test_one_that_does_not_say_when_its_data_end_is_refused(later: DatasetDir, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not say when they end"):
        evaluate_bundle(bundle_of(tmp_path, later, None), later, "after")


def test_one_of_another_log_is_refused(later: DatasetDir, tmp_path: Path) -> None:
    foreign = frame(20).filter(pl.col("timestamp") < CUT).with_columns(item_id="other-" + pl.col("item_id"))
    with pytest.raises(BundleError, match="knows none of the"):
        evaluate_bundle(bundle_of(tmp_path, dataset(tmp_path / "foreign", foreign)), later, "after")


def test_the_cutoff_is_known_where_all_times_are(later: DatasetDir, tmp_path: Path) -> None:
    assert later.latest() == (START + timedelta(hours=HOURS - 1)).isoformat()
    moment = round((CUT - datetime(1970, 1, 1, tzinfo=CUT.tzinfo)).total_seconds() * 1e6)
    assert later.latest(before=moment) == (CUT - timedelta(hours=1)).isoformat()
    untimed = frame(20).with_columns(timestamp=pl.when(pl.int_range(pl.len()) > 0).then("timestamp"))
    assert dataset(tmp_path / "untimed", untimed).latest() is None


def test_bundles_of_different_catalogues_are_asked_for_what_both_know(
    later: DatasetDir, published: Path, tmp_path: Path
) -> None:
    """The challenger has learned from all items of the training part, the published bundle not from the first one."""
    whole = bundle_of(tmp_path, later, cutoff=(CUT - timedelta(hours=1)).isoformat())
    run = evaluate_bundle(whole, later, "after", others=[published], metrics=["recall@2"])
    targets = load_split(later, "after").test.targets
    assert run.n_unknown == targets[:, [0]].nnz > 0
    one, other = run.results[0].evaluation, run.results[-1].evaluation
    assert (one.rows.tolist(), one.n_left_out) == (other.rows.tolist(), other.n_left_out)
    assert one.n_users + one.n_left_out == targets.shape[0]

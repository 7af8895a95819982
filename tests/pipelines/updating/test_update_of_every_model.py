"""Whatever the catalogue holds is updated, by `recsys update`: exactly, by a fit, or by further training."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.matrices import encode
from pipelines.training.model_settings import specify
from pipelines.training.publish import publish_bundle
from pipelines.training.train import Output, train_bundle
from pipelines.updating.update import course_of, update_bundle
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.lineage import Lineage
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.features import Field
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.protocols import Recommender
from recsys_vae.recommender import FallbackChain
from recsys_vae.training.config import TrainingConfig
from tests.pipelines import logs_of_tastes
from tests.pipelines.datasets_of_tastes import dataset_of_tastes, with_user_metadata
from tests.worlds import by_row, csr, untrained

TRAINING = TrainingConfig(epochs=5, batch_size=16, learning_rate=0.01, device="cpu")


def earlier(place: Path, now: DatasetDir) -> DatasetDir:
    """What there was before the last ten users came, and the last item with them."""
    frame = now.interactions().collect()
    first = frame.filter(pl.col("user_id") < "u050", pl.col("item_id") != "i011")
    return logs_of_tastes.dataset(place, first)


def parent_of(name: str, dataset: DatasetDir, path: Path) -> Path:
    """A bundle of a model that knows a dataset."""
    known = encode(dataset.interactions())
    model: Recommender = untrained(name, known.n_items)
    if name == "conditional-vae":
        model = ConditionalVAE(known.n_items, ConditionalVAEConfig(hidden=16, latent=4, prior_hidden=8))
    by_gradient = isinstance(model, Trainable | Blend)
    origin = Provenance(
        dataset.name,
        known.fingerprint(),
        "all",
        epochs=3 if by_gradient else 0,
        training=asdict(TRAINING) if by_gradient else {},
    )
    if not by_gradient:
        model.fit(known.matrix)  # type: ignore[attr-defined]
    elif isinstance(model, Blend):
        model.linear.fit(known.matrix)
    write_bundle(path, model, known.items, popularity=known.item_counts(), provenance=origin)
    return path


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_every_model_learns_what_came_in(name: str, mlflow_home: Path, tmp_path: Path) -> None:
    now = dataset_of_tastes(mlflow_home / "datasets" / "now")
    before = earlier(mlflow_home / "datasets" / "before", now)
    source = parent_of(name, before, tmp_path / "parent")
    course = course_of(source, now, before=before)
    update_bundle(course, Output(tmp_path / "updated", registered_name="tastes"))
    parent, updated = Bundle.load(source), Bundle.load(tmp_path / "updated")
    lineage = Lineage.of(updated.manifest)
    assert lineage is not None
    assert lineage.parent == parent.version
    assert lineage.how == course.plan()["how"]
    assert lineage.how in ("exact", "refit", "warm")
    assert (parent.manifest.n_items, updated.manifest.n_items) == (11, 12)
    if name != "elsa":
        assert updated.manifest.provenance.epochs == parent.manifest.provenance.epochs
    chain = FallbackChain(updated)
    histories = csr([[0, 1], [11], []], 12)
    scores = chain.scores(chain.encode(histories, order=by_row(histories)))
    assert np.isfinite(scores).all()
    if lineage.how == "warm":
        assert updated.manifest.provenance.training == parent.manifest.provenance.training
        again = course_of(tmp_path / "updated", now)
        assert again.counts.is_none


def test_hybrids_keep_their_inputs_and_place_new_items_by_content(mlflow_home: Path, tmp_path: Path) -> None:
    now = described(dataset_of_tastes(mlflow_home / "datasets" / "now"))
    before = described(earlier(mlflow_home / "datasets" / "before", now), like=now)
    settings: dict[str, Any] = asdict(TRAINING) | {
        "hidden": 16,
        "latent": 4,
        "user_metadata": True,
        "item_metadata": True,
    }
    source = parent_with_metadata(before, specify("rec-vae", settings), tmp_path)
    update_bundle(course_of(source, now, before=before), Output(tmp_path / "updated", registered_name="tastes"))
    updated = Bundle.load(tmp_path / "updated")
    lineage = Lineage.of(updated.manifest)
    assert lineage is not None
    assert lineage.how == "warm"
    assert updated.manifest.settings["metadata"] == [2, 2]
    assert len(updated.items) == 13
    assert updated.tiers.policy.content


def described(dataset: DatasetDir, like: DatasetDir | None = None) -> DatasetDir:
    """With sides of the users, genres of the items, and an item that nobody has touched."""
    with_user_metadata(dataset)
    if like is not None:
        dataset.users_path.write_bytes(like.users_path.read_bytes())
    genres = [{"item_id": f"i{item:03}", "genre": "left" if item < 6 else "right"} for item in range(12)]
    pl.DataFrame([*genres, {"item_id": "new", "genre": "left"}]).write_parquet(dataset.items_path)
    Fields(Fields.read(dataset.fields_path).users, (Field("genre", "category"),)).write(dataset.fields_path)
    return dataset


def parent_with_metadata(dataset: DatasetDir, spec: Any, place: Path) -> Path:
    from pipelines.dataset.split_recipes import recipe
    from pipelines.dataset.splits import make_split

    make_split(dataset, recipe("strong", heldout=10, min_items=3, fold_in=0.5))
    trained = Output(place / "trained", registered_name="tastes")
    train_bundle(dataset, "strong", spec, trained, resume=False)
    publish_bundle(trained.path, dataset, replace(trained, path=place / "parent"), resume=False, new_items=True)
    return place / "parent"


def test_the_command_takes_settings_of_further_training_and_says_what_it_cannot_do(
    mlflow_home: Path, tmp_path: Path
) -> None:
    now = dataset_of_tastes(mlflow_home / "datasets" / "now")
    before = earlier(mlflow_home / "datasets" / "before", now)
    vae, ease = (parent_of(name, before, tmp_path / name) for name in ("mult-vae", "ease"))
    (tmp_path / "gone.txt").write_text("u001\n")

    def run(bundle: Path, *options: str) -> tuple[int, str]:
        found = CliRunner().invoke(build("update"), ["update", str(bundle), "now", "--from", "before", *options])
        return found.exit_code, " ".join((found.output + str(found.exception or "")).split())

    (tmp_path / "never_seen.txt").write_text("u055\n")  # who came in since

    two = ("--set", "epochs=2", "--set", "replay=0", "--to", str(tmp_path / "two"))
    code, told = run(vae, *two, "--erase", str(tmp_path / "never_seen.txt"))
    assert code == 0, told
    lineage = Lineage.of(Bundle.load(tmp_path / "two").manifest)
    assert lineage is not None
    assert lineage.figures["epochs"] == 2
    assert lineage.figures["replay"] == 0
    assert lineage.came_in["new_users"] == 9
    for bundle, options, expected in (
        (vae, ("--erase", str(tmp_path / "gone.txt")), "cannot forget users by further training"),
        (ease, ("--set", "epochs=2"), "epochs has no effect on it"),
        (vae, ("--set", "replay=2"), "are shares, 0 to 1"),
        (vae, ("--set", "hidden=2"), "no setting of a warm start named 'hidden'"),
    ):
        code, told = run(bundle, *options)
        assert code != 0
        assert expected in told

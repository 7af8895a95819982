from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.recommend import recommend_all
from pipelines.training.fit import ModelSpec, fit
from pipelines.training.model_settings import specify
from pipelines.training.publish import publish_bundle
from pipelines.training.train import Output, train_bundle
from pipelines.tuning.search import Search
from pipelines.tuning.tune import tune
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.features import Field
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError
from recsys_vae.models.blend import BlendConfig, Part
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.recommender import HISTORY, POSTERIOR, PRIOR, FallbackChain
from tests.pipelines.datasets_of_tastes import dataset_of_tastes, with_user_metadata
from tests.worlds import csr, two_tastes

SETTINGS: dict[str, Any] = {
    "hidden": 16, "latent": 4, "batch_size": 16, "epochs": 12, "learning_rate": 0.01, "patience": 0, "device": "cpu",
}  # fmt: skip
BOTH = {"user_metadata": True, "item_metadata": True}


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    """Users with sides, items with genres, and an item that nobody has touched."""
    dataset = with_user_metadata(dataset_of_tastes(mlflow_home / "datasets" / "tastes"))
    genres = [{"item_id": f"i{item:03}", "genre": "left" if item < 6 else "right"} for item in range(12)]
    pl.DataFrame([*genres, {"item_id": "new", "genre": "left"}]).write_parquet(dataset.items_path)
    Fields(Fields.read(dataset.fields_path).users, (Field("genre", "category"),)).write(dataset.fields_path)
    return dataset


@pytest.mark.parametrize("model", ["mult-vae", "rec-vae"])
def test_train_publish_and_batch_take_metadata_to_a_hybrid_encoder(
    model: str, dataset: DatasetDir, tmp_path: Path
) -> None:
    output = Output(tmp_path / "bundle", registered_name="tastes")
    train_bundle(dataset, "strong", specify(model, SETTINGS | BOTH), output, resume=False)
    publish_bundle(output.path, dataset, replace(output, path=tmp_path / "shipped"), resume=False, new_items=True)
    for path in (output.path, tmp_path / "shipped"):
        bundle = Bundle.load(path)
        assert bundle.manifest.settings["metadata"] == [2, 2]
        chain, schema = FallbackChain(bundle), bundle.tiers.schema
        assert schema is not None
        assert {POSTERIOR, HISTORY, PRIOR} < set(chain.tiers)
        left, right = (schema.encode([{"side": side}]) for side in ("left", "right"))
        one = csr([[2]], len(bundle.items))
        asked = [chain.scores(chain.encode(one, known, tier=POSTERIOR)) for known in (left, right)]
        assert abs(asked[0] - asked[1]).max() > 1e-3
        unseen = schema.encode([{"side": "middle"}])
        alone = chain.scores(chain.encode(one, tier=HISTORY))
        assert chain.scores(chain.encode(one, unseen, tier=POSTERIOR)) == pytest.approx(alone, rel=1e-5)
    assert bundle.tiers.policy.content
    only = IdMap.from_values(["u000", "stranger"])
    recommend_all(bundle, dataset, tmp_path / "lists.parquet", k=3, only=only)
    assert pl.read_parquet(tmp_path / "lists.parquet")["user_id"].unique().sort().to_list() == ["stranger", "u000"]


def test_a_search_tells_its_trials_what_is_known(dataset: DatasetDir) -> None:
    search = Search.of("mult-vae", SETTINGS | BOTH | {"dropout": 0.5, "kl_weight": 0.2}, split="strong")
    assert set(search.space) == {"metadata_dropout", "weights", "dislikes"}  # the latter only where data have any
    found = tune(dataset, search, trials=1)
    assert found.best.settings.keys() == {"metadata_dropout"}
    assert "--set user_metadata=True" in found.command
    assert "metadata_dropout" not in Search.of("mult-vae", {}).space


def test_metadata_that_a_dataset_does_not_declare_cannot_be_asked_for(mlflow_home: Path, tmp_path: Path) -> None:
    bare, output = dataset_of_tastes(mlflow_home / "datasets" / "bare"), Output(tmp_path / "bundle")
    for option in BOTH:
        with pytest.raises(ConfigError, match=f"{option} asks for metadata of .*declares none"):
            train_bundle(bare, "strong", specify("mult-vae", SETTINGS | {option: True}), output, resume=False)
    asking = BlendConfig(autoencoder=Part("mult-vae", MultVAE, MultVAEConfig(user_metadata=True)), weight=0.5)
    with pytest.raises(ConfigError, match="a blend hands none on"):
        fit(ModelSpec("blend", asking), two_tastes().matrix)
    with pytest.raises(ConfigError, match="follows from the fields"):
        specify("mult-vae", {"metadata": 3})

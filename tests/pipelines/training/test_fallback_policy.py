import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.matrices import encode
from pipelines.dataset.user_features import UserMetadata
from pipelines.recommend import recommend_all
from pipelines.training.decay import Decay
from pipelines.training.fallback_policy import choose_tiers, learn_again, learn_segments, segment_columns
from pipelines.training.fit import ModelSpec
from pipelines.training.publish import publish_bundle
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, PRIOR, SEGMENT, TierThreshold
from recsys_vae.data.features import CATEGORY, NUMBER, SET, TEXT, Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.models.conditional_vae import ConditionalVAEConfig
from recsys_vae.recommender import CONTENT, FallbackChain
from recsys_vae.training.config import TrainingConfig
from tests.pipelines import logs_of_tastes
from tests.pipelines.datasets_of_tastes import dataset_of_tastes, with_user_metadata
from tests.worlds import csr, untrained

CONDITIONAL = ModelSpec(
    "conditional-vae",
    ConditionalVAEConfig(hidden=32, latent=8, prior_hidden=8, longest_short=3),
    TrainingConfig(epochs=60, batch_size=16, learning_rate=0.01, device="cpu", patience=0),
)


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return with_user_metadata(dataset_of_tastes(mlflow_home / "datasets" / "tastes"))


def test_values_of_categories_and_sets_are_segments_and_nothing_else() -> None:
    fields = [Field(name, kind) for name, kind in (("age", NUMBER), ("side", CATEGORY), ("bio", TEXT), ("tags", SET))]
    records = [{"side": "l", "bio": "warm tea", "tags": "a|b"}, {"side": "r", "age": 3}]
    assert segment_columns(Schema.learn(fields, records)).tolist() == [
        *[False] * 2,
        *[True] * 2,
        *[False] * 2,
        *[True] * 2,
    ]
    assert segment_columns(Schema(())).tolist() == []


def test_users_who_share_only_words_get_what_is_popular(tmp_path: Path) -> None:
    pairs = pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["tea", "tea", "jam"]})
    world = logs_of_tastes.dataset(tmp_path / "d", pairs)
    pl.DataFrame({"user_id": ["a", "b", "c"], "bio": ["warm", "warm", "sweet"]}).write_parquet(world.users_path)
    Fields(users=(Field("bio", TEXT),)).write(world.fields_path)
    everything = encode(world.interactions())
    known = UserMetadata.learn(world, everything.users)
    sweet = known.rows(pl.Series(["c"]))
    assert sweet.nnz == 1
    segments = learn_segments(everything, known, 1.0)
    assert segments.lifts.nnz == 0
    assert segments.score(sweet)[0] == pytest.approx(np.log([1.5 / 4, 2.5 / 4]), rel=1e-5)  # jam, tea


def test_choices_are_kept_when_more_is_learned(dataset: DatasetDir) -> None:
    everything = encode(dataset.interactions())
    known = UserMetadata.learn(dataset, everything.users)
    users = everything.users
    cold_start_users = ColdStartUsers(users, csr([[]] * 60, 12), everything.matrix, known.rows(users.values))
    chosen = choose_tiers(untrained("mult-vae", 12), everything, known, cold_start_users, "ndcg@100").tiers
    assert chosen.policy.described[0] == TierThreshold(
        0, SEGMENT
    )  # sides decide what is liked, and the model is untrained
    assert chosen.policy.bare[0] == TierThreshold(0, POPULAR)
    again = learn_again(chosen, everything, known)
    assert chosen.segments is not None
    assert again.segments is not None
    assert (again.policy, again.segments.shrinkage) == (chosen.policy, chosen.segments.shrinkage)


def test_popularity_may_decay_where_there_is_no_metadata(mlflow_home: Path) -> None:
    world = dataset_of_tastes(mlflow_home / "datasets" / "tastes")
    everything = encode(world.interactions())
    segments = learn_segments(everything, UserMetadata.learn(world, everything.users), 100.0, Decay(1.0))
    assert segments.half_life == 1.0
    assert segments.score(csr([[]], 0)).shape == (1, 12)
    assert math.isclose(float(np.exp(segments.log_shares).sum()), 1.0, rel_tol=1e-5)


def test_train_publish_and_batch_answer_newcomers_by_what_is_known_of_them(dataset: DatasetDir, tmp_path: Path) -> None:
    output = Output(tmp_path / "bundle", registered_name="tastes")
    train_bundle(dataset, "strong", CONDITIONAL, output, resume=False)
    bundle = Bundle.load(output.path)
    assert bundle.manifest.settings["metadata"] == [2, 2]
    assert bundle.tiers.schema is not None
    assert bundle.tiers.segments is not None
    # Metadata name the taste, so without a history they beat what is popular with everybody.
    assert bundle.tiers.policy.described[0].tier in (PRIOR, SEGMENT)
    assert bundle.tiers.policy.bare[0].tier == POPULAR

    shipped = replace(output, path=tmp_path / "shipped")
    publish_bundle(output.path, dataset, shipped, resume=False)
    published = Bundle.load(shipped.path)
    assert published.tiers.policy == bundle.tiers.policy

    cold_start_users = pl.DataFrame({"user_id": ["new0", "new1"], "side": ["left", "right"], "age": [30, 30]})
    everybody = pl.concat([pl.read_parquet(dataset.users_path), cold_start_users], how="vertical_relaxed")
    everybody.write_parquet(dataset.users_path)
    only = IdMap.from_values(["new0", "new1", "stranger"])
    recommend_all(published, dataset, tmp_path / "lists.parquet", k=6, only=only)
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    tiers = dict(lists.group_by("user_id").first().select("user_id", "tier").iter_rows())
    assert tiers == {"new0": published.tiers.policy.described[0].tier, "new1": tiers["new0"], "stranger": POPULAR}
    liked = {user: set(rows["item_id"]) for (user,), rows in lists.group_by("user_id")}
    assert len(liked["new0"] & {f"i{item:03}" for item in range(6)}) >= 5
    assert len(liked["new1"] & {f"i{item:03}" for item in range(6, 12)}) >= 5


def test_items_that_nobody_has_touched_are_published_by_their_content(dataset: DatasetDir, tmp_path: Path) -> None:
    genres = [{"item_id": f"i{item:03}", "genre": "left" if item < 6 else "right"} for item in range(12)]
    table = pl.DataFrame([*genres, {"item_id": "new", "genre": "left"}])
    table.write_parquet(dataset.items_path)
    output = Output(tmp_path / "bundle", registered_name="tastes")
    train_bundle(dataset, "strong", CONDITIONAL, output, resume=False)
    shipped = replace(output, path=tmp_path / "shipped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.training.publish.measure_served", pytest.fail)  # it is refused before any work
        with pytest.raises(ConfigError, match="declares no content of its items"):
            publish_bundle(output.path, dataset, shipped, resume=False, new_items=True)
    Fields(Fields.read(dataset.fields_path).users, (Field("genre", "category"),)).write(dataset.fields_path)
    publish_bundle(output.path, dataset, shipped, resume=False, new_items=True)
    published = Bundle.load(shipped.path)
    chain, new = FallbackChain(published), int(published.items.rows(["new"])[0])
    assert np.flatnonzero(chain.is_new).tolist() == [new]
    lists = chain.recommend(csr([[0, 1], [6, 7], [new]], 13), 13)
    assert lists.tiers[2] == CONTENT
    scores = chain.scores(chain.encode(csr([[0, 1], [6, 7], [new]], 13), tier=HISTORY))
    above = scores[:, new] - scores[:, :12].mean(axis=1)
    assert above[0] > above[1]
    assert scores[2, :6].mean() > scores[2, 6:12].mean()
    assert chain.sources([lists.tiers[0]], np.array([new])) == [CONTENT]
    later = published.tiers.content  # an item that comes in service takes the place of one of the same genre
    assert later is not None
    vectors, is_known = later.vectors([{"genre": "left"}])
    assert is_known.all()
    np.testing.assert_allclose(vectors[0], chain.item_vectors[new], rtol=1e-3, atol=1e-4)


def test_a_model_without_metadata_keeps_its_settings(dataset: DatasetDir) -> None:
    torch.manual_seed(0)
    spec = ModelSpec("mult-dae", untrained("mult-dae", 12).config)  # type: ignore[attr-defined]
    assert spec.with_schema(Schema(())) is spec

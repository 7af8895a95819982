"""Metadata through the front door."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_vae import EASE, Blend, ConditionalVAE, Estimator, MultVAE, evaluate, load, split
from recsys_vae.data.histories import empty_histories
from recsys_vae.errors import ConfigError, DataError, SchemaError, UnknownNameError
from recsys_vae.estimators.metadata import MetadataTable
from recsys_vae.evaluation.splits import Split

N_USERS, TASTE = 80, ("red", "blue")
SETTINGS: dict[str, Any] = {"epochs": 30, "batch_size": 20, "hidden": 16, "latent": 4, "learning_rate": 0.01}


def log() -> pl.DataFrame:
    """Each user has five of the six items of one taste."""
    rng = np.random.default_rng(0)
    rows = [(f"u{u:02}", f"i{(u % 2) * 6 + i:02}") for u in range(N_USERS) for i in rng.permutation(6)[:5]]
    return pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")


def users() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [f"u{u:02}" for u in range(N_USERS)],
            "taste": [TASTE[u % 2] for u in range(N_USERS)],
            "age": [20 + u for u in range(N_USERS)],
        }
    )


@pytest.fixture(scope="module")
def parts() -> Split:
    return split(log(), "strong", seed=0)


@pytest.fixture(scope="module")
def model(parts: Split) -> Estimator:
    return ConditionalVAE(**SETTINGS).fit(parts.train, validation=parts.validation, user_metadata=users())


def items_of(answer: pl.DataFrame) -> list[set[str]]:
    return [set(part["item_id"]) for _, part in answer.group_by("user_id", maintain_order=True)]


RED, BLUE = ({f"i{first + i:02}" for i in range(6)} for first in (0, 6))


def test_who_has_no_history_is_answered_by_metadata_and_who_has_none_by_popularity(model: Estimator) -> None:
    asked = [{"taste": "red"}, {"taste": "blue"}, {}]
    answer = model.recommend([[], [], []], k=6, metadata=asked)
    assert items_of(answer)[:2] == [RED, BLUE]
    assert answer["tier"].unique(maintain_order=True).to_list() == ["prior", "popular"]
    (both,) = model.recommend(["i00"], k=1, metadata=asked[0])["tier"]
    assert both == "posterior"


def test_all_forms_say_the_same(model: Estimator) -> None:
    histories = {"x": ["i00"], "b": [], "a": ["i07"]}
    records = [{"taste": "red"}, {"taste": "blue"}, {"taste": "blue", "age": 30}]
    by_user = dict(zip(histories, records, strict=True))
    frame = pl.DataFrame([{"user_id": user, "age": None} | record for user, record in by_user.items()])
    expected = model.recommend(histories, k=3, metadata=records)
    assert expected["tier"].unique(maintain_order=True).to_list() == ["posterior", "prior", "posterior"][:2]
    for form in (by_user, frame, frame.lazy(), pd.DataFrame({name: frame[name].to_list() for name in frame.columns})):
        assert_frame_equal(model.recommend(histories, k=3, metadata=form), expected)
    in_order = model.recommend(
        [histories[user] for user in sorted(histories)], k=3, metadata=[*map(by_user.get, "abx")]
    )
    assert_frame_equal(in_order.drop("user_id"), expected.drop("user_id"))


def test_a_part_of_a_split_is_measured_with_its_metadata(model: Estimator, parts: Split) -> None:
    told = model.with_metadata(parts.test, users())
    assert told.metadata is not None
    assert told.metadata.shape == (len(parts.test.users), model.n_features)
    nothing = replace(told, histories=empty_histories(*told.histories.shape))
    assert evaluate(model, nothing, ["recall@6"]).means["recall@6"] == 1.0
    answer = model.recommend(nothing, k=6)
    assert set(answer["tier"]) == {"prior"}


def test_it_comes_back_from_a_bundle(model: Estimator, tmp_path: Path) -> None:
    model.save(tmp_path / "bundle")
    asked = [{"taste": "red"}, {"taste": "blue"}]
    again = load(tmp_path / "bundle").recommend([[], ["i07"]], k=3, metadata=asked)
    assert_frame_equal(again, model.recommend([[], ["i07"]], k=3, metadata=asked), rel_tol=1e-5)


def test_an_encoder_takes_what_it_is_fitted_with(parts: Split) -> None:
    items = pl.DataFrame(
        {"item_id": sorted(RED | BLUE), "genres": [["a"]] * 6 + [["b", "c"]] * 6, "words": ["x y"] * 12}
    )
    model = MultVAE(**SETTINGS | {"epochs": 2}).fit(
        parts.train, parts.validation, user_metadata=users(), item_metadata=items, kinds={"words": "text"}
    )
    assert (model.fitted.config.user_metadata, model.fitted.config.item_metadata) == (True, True)  # type: ignore[union-attr]
    assert model.n_features == 2 + 2
    assert set(model.recommend([[]], k=2, metadata={"taste": "red"})["tier"]) == {"prior"}


def test_what_has_no_place_for_metadata_refuses_them(parts: Split, model: Estimator) -> None:
    for closed in (EASE(), Blend(epochs=1)):
        with pytest.raises(ConfigError, match="takes no metadata of users"):
            closed.fit(parts.train, parts.validation, user_metadata=users())
    with pytest.raises(ConfigError, match="takes no metadata of items"):
        ConditionalVAE().fit(parts.train, item_metadata=pl.DataFrame({"item_id": ["i00"], "genre": ["a"]}))
    with pytest.raises(DataError, match="fitted without any"):
        EASE().fit(parts.train).recommend(["i00"], metadata={"taste": "red"})
    with pytest.raises(DataError, match="2 records of metadata were given for 1 users"):
        model.recommend(["i00"], metadata=[{}, {}])
    with pytest.raises(DataError, match="a record a user"):
        model.recommend(["i00"], metadata="red")
    with pytest.raises(DataError, match="Ids are whole numbers here, got strings"):
        model.recommend({"x": []}, metadata={1: {"taste": "red"}})
    with pytest.raises(UnknownNameError, match="agee"):
        ConditionalVAE().fit(parts.train, user_metadata=users(), kinds={"agee": "number"})


def test_a_table_has_a_row_an_id_and_kinds_by_its_columns() -> None:
    frame = pl.DataFrame({"user_id": [3, 1], "n": [1.5, 2.0], "many": [["a"], ["b"]], "one": ["p", "q"]})
    table = MetadataTable.read(frame, "user_id", {"one": "text"})
    assert [field.kind for field in table.fields] == ["number", "set", "text"]
    assert table.of(pl.Series([1, 2, 3]))[0]["n"] == 2.0
    assert table.of(pl.Series([1, 2, 3]))[1] == {}
    with pytest.raises(DataError, match="1 values of user_id again"):
        MetadataTable.read(pl.concat([frame, frame.head(1)]), "user_id")
    with pytest.raises(SchemaError, match="no column 'user_id'"):
        MetadataTable.read(frame.drop("user_id"), "user_id")
    with pytest.raises(ConfigError, match="sentence"):
        MetadataTable.read(frame, "user_id", {"one": "sentence"})
    with pytest.raises(DataError, match="a row an id"):
        MetadataTable.read([{"age": 3}], "user_id")

"""A second stage that goes by how long ago users and items had their last events: in training, batch and service."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.recency import read_recency, recency_in_window
from pipelines.promotion.hold_out import HoldOut
from pipelines.promotion.served_lists import Asker
from pipelines.recommend import recommend_all
from pipelines.training.shelves import make_shelves
from recsys_vae.bundles.additions import with_ranker
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.item_lists import ListRules
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.second_stage import last_days
from recsys_vae.data.histories import empty_histories
from recsys_vae.data.recency import Recency, logs_of_days
from recsys_vae.errors import DataError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.recommender import FallbackChain
from recsys_vae.second_stage.candidates import RECENCY
from recsys_vae.second_stage.ranker import Ranker
from recsys_vae.second_stage.trees import Trees
from service import timestamps
from service.app import create_app
from service.settings import Settings
from service.store.events import Event, EventStore
from tests.pipelines import logs_of_tastes
from tests.pipelines.logs_of_tastes import START
from tests.second_stages import NEEDS_LIGHTGBM, candidates_of, steps

pytestmark = NEEDS_LIGHTGBM
NOW = START + timedelta(days=40, hours=3)


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetDir:
    """Users who were last there on different days, and items too."""
    log = logs_of_tastes.frame(24)
    user, item = (pl.col(name).str.slice(1).cast(pl.Int64) for name in ("user_id", "item_id"))
    later = START + pl.duration(days=(user % 7) * 3 + item % 5)
    return logs_of_tastes.dataset(tmp_path / "tastes", log.with_columns(timestamp=later))


@pytest.fixture
def bundle(dataset: DatasetDir, tmp_path: Path) -> Path:
    """Its trees bring forward items that were touched lately."""
    everything = encode(dataset.interactions())
    model = EASE(everything.n_items, EASEConfig(l2=5.0))
    model.fit(everything.matrix)
    shelves = make_shelves(dataset, everything, None, ListRules())
    write_bundle(
        tmp_path / "bare", model, everything.items, popularity=everything.item_counts(),
        provenance=Provenance(dataset="tastes", trained_on="all"), shelves=shelves,
    )  # fmt: skip
    bare = Bundle.load(tmp_path / "bare")
    candidates = replace(candidates_of(bare, depth=6), last_days=last_days(bare.shelves.lists))
    assert candidates.names[-2:] == RECENCY
    by_item = steps(len(candidates.names) - 1, [float(np.log1p(days)) for days in range(15, 45)], rise=-1.0)
    with_ranker(tmp_path / "bare", tmp_path / "b", Ranker(candidates, Trees(by_item, len(candidates.names))), [])
    return tmp_path / "b"


def test_days_are_counted_and_what_is_not_known_is_not_a_number() -> None:
    known = Recency.of(np.array([10.0, 10.0, np.nan]), np.array([7.0, 12.0, 3.0]))
    assert known.last.tolist()[:2] == [7, 10]  # nothing is later than now
    found = logs_of_days(known.now, known.last)
    np.testing.assert_allclose(found[:2], [np.log(4), 0], rtol=1e-6)
    assert np.isnan(found[2])
    with pytest.raises(DataError, match="one day of each"):
        Recency(np.zeros(2), np.zeros(3))


def test_last_events_are_those_before_the_window_and_now_is_the_first_day_in_it(dataset: DatasetDir) -> None:
    users = encode(dataset.interactions()).users
    table = dataset.interactions().collect()
    since = START + timedelta(days=9)
    found = recency_in_window(dataset, users, timestamps.to_microseconds(since))
    first = (START - datetime(1970, 1, 1, tzinfo=UTC)).days
    for row, name in enumerate(users.values.to_list()):
        days = [(time - START).days for time in table.filter(pl.col("user_id") == name)["timestamp"]]
        before, after = [day for day in days if day < 9], [day for day in days if day >= 9]
        assert found.now[row] == first + min(after, default=9)
        assert found.last[row] == first + max(before) if before else np.isnan(found.last[row])


def test_service_and_batch_give_the_same_lists_by_the_day_they_are_asked_on(
    dataset: DatasetDir, bundle: Path, tmp_path: Path
) -> None:
    loaded, log = Bundle.load(bundle), dataset.interactions().collect()
    assert loaded.ranker is not None
    assert loaded.ranker.candidates.has_recency
    recommend_all(loaded, dataset, tmp_path / "lists", k=5, now=NOW)
    batch = pl.read_parquet(tmp_path / "lists").partition_by("user_id", as_dict=True)
    url = f"sqlite:///{tmp_path}/events.db"
    store = EventStore(url)
    rows = log.select("user_id", "item_id", pl.col("timestamp").dt.epoch("us")).rows()
    store.append([[Event(f"{u} {i}", u, i, None, 1.0, t) for u, i, t in rows]], "tests")
    store.close()
    settings = Settings(bundle=bundle, store=url)
    with TestClient(create_app(settings, clock=lambda: timestamps.to_microseconds(NOW))) as client:
        for (user,), lists in batch.items():
            found = client.get(f"/v1/users/{user}/recommendations?k=5").json()
            assert found["scorer"] == "ranker"
            assert [item["item_id"] for item in found["items"]] == lists["item_id"].to_list()
        page = client.post("/v1/recommendations", json={"user_id": "u000", "k": 2}).json()
        rest = client.post(
            "/v1/recommendations", json={"user_id": "u000", "k": 3, "cursor": page["next_cursor"]}
        ).json()
    together = [item["item_id"] for item in (*page["items"], *rest["items"])]
    assert together == batch["u000",]["item_id"].to_list()
    # Another day is another list for somebody: the request's time counts, not that of the bundle.
    recommend_all(loaded, dataset, tmp_path / "later", k=5, now=START + timedelta(days=21))
    assert not pl.read_parquet(tmp_path / "later")["item_id"].equals(pl.read_parquet(tmp_path / "lists")["item_id"])


@pytest.mark.parametrize("known", [True, False])
def test_the_gate_asks_as_it_is_served(dataset: DatasetDir, bundle: Path, known: bool) -> None:
    loaded, everything = Bundle.load(bundle), encode(dataset.interactions())
    since = timestamps.to_microseconds(NOW)
    asked = HeldOut(everything.users, everything.matrix, empty_histories(*everything.matrix.shape))
    hold_out = HoldOut(
        dataset, "", asked, everything.items, everything.item_counts(), None, loaded, len(asked.users),
        since=since if known else None,
    )  # fmt: skip
    asker, chain = Asker(loaded, hold_out), FallbackChain(loaded)
    seen = recency_in_window(dataset, everything.users, since)
    served = chain.recommend(everything.matrix, 5, recency=seen).rows
    assert np.array_equal(asker.lists(5).own, served) == known
    assert asker.milliseconds(3, 5) > 0


def test_what_users_did_reaches_the_features(dataset: DatasetDir, bundle: Path) -> None:
    loaded, everything = Bundle.load(bundle), encode(dataset.interactions())
    assert loaded.ranker is not None
    day = (NOW - datetime(1970, 1, 1, tzinfo=UTC)).days
    seen = read_recency(dataset, everything.users, day)
    scores = loaded.model.score(everything.matrix)
    pairs = loaded.ranker.candidates.of(scores, everything.matrix, recency=seen)
    user, item = pairs.features[:, -2], pairs.features[:, -1]
    np.testing.assert_allclose(user, np.log1p(day - seen.last)[pairs.users], rtol=1e-6)
    assert np.isfinite(item).all()
    unknown = loaded.ranker.candidates.of(scores, everything.matrix)
    assert np.isnan(unknown.features[:, -2:]).all()

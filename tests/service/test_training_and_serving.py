"""Training and serving go by one code path: events, ingested or posted, are the same signed weights in one order."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from scipy.sparse import csr_array

from recsys_vae.data.signals import SignalRules, evidence
from recsys_vae.protocols import Int64Array
from recsys_vae.recommender import FallbackChain, Users
from service import timestamps
from service.app import create_app
from service.jobs.campaign_histories import DatasetHistories
from service.jobs.history_import import DatasetEvents
from service.settings import Settings
from service.store.events import EventStore
from service.store.user_history import history_of
from tests.service.tiny import ITEMS, only

START = datetime(2026, 3, 1, tzinfo=UTC)
RULES = SignalRules(
    dislikes=("return", "hide"), dislike_below=2.5, event_weights=(("buy", 3.0), ("*", 0.5)), keep="sum", half_life=4.0
)
Row = tuple[str, str, str, float, datetime]


class Told(FallbackChain):
    """Notes what it is shown."""

    def encode(self, histories: csr_array, metadata=None, order: csr_array | None = None, **options) -> Users:
        self.histories, self.order = histories, order
        return super().encode(histories, metadata, order, **options)


def rows(seed: int) -> list[Row]:
    """Events of three users, in no order; no two of one user at one time."""
    rng = np.random.default_rng(seed)
    kinds, found = ["buy", "view", "return", "hide"], []
    for user in ("x", "y", "z"):
        for hour in rng.permutation(24 * 30)[:25].tolist():
            item, kind = ITEMS[rng.integers(len(ITEMS))], kinds[rng.choice(4, p=[0.4, 0.4, 0.1, 0.1])]
            found.append((user, item, kind, float(rng.integers(2, 6)), START + timedelta(hours=hour)))
    return found


def learned(log: list[Row], rules: SignalRules) -> dict[str, tuple[csr_array, Int64Array]]:
    """What training knows of each user: signed weights, and the liked items in order."""
    found = {}
    for user in ("x", "y", "z"):
        mine = sorted((row for row in log if row[0] == user), key=lambda row: row[4])
        items = np.array([ITEMS.index(row[1]) for row in mine], dtype=np.int64)
        weights = np.array([rules.weight(row[2], row[3]) for row in mine])
        times = np.array([timestamps.to_microseconds(row[4]) for row in mine], dtype=np.int64)
        one = evidence(np.zeros_like(items), items, weights, times, rules)
        liked = one.weights > 0
        cells = (one.weights, (one.users, one.items))
        found[user] = csr_array(cells, shape=(1, len(ITEMS))), one.items[liked][np.argsort(one.places[liked])]
    return found


@contextmanager
def serving(settings: Settings, chain: FallbackChain, rules: SignalRules) -> Iterator[tuple[TestClient, Told]]:
    """A service whose bundle has these rules, and goes by order."""
    told = Told(chain.bundle)
    lineup = only(told)
    catalogue = lineup.variants[0].catalogue
    catalogue.rules, catalogue.by_order = rules, True
    with TestClient(create_app(settings.model_copy(update={"deadline_ms": 60_000.0}), lineup)) as client:
        yield client, told


def check(client: TestClient, told: Told, known: dict[str, tuple[csr_array, Int64Array]]) -> None:
    for user, (histories, in_order) in known.items():
        assert client.post("/v1/recommendations", json={"user_id": user, "k": 3}).status_code == 200
        assert told.order is not None
        assert told.histories.toarray().tolist() == histories.toarray().tolist()  # to the last bit
        assert told.order.indices[np.argsort(told.order.data)].tolist() == in_order.tolist()


EVERY_RULE = [
    RULES,
    SignalRules(),
    SignalRules(dislikes=("return",)),
    replace(RULES, keep="last", half_life=math.inf),
    replace(RULES, keep="max"),
    replace(RULES, keep="first", dislike_below=None),
]


@pytest.mark.parametrize("rules", EVERY_RULE)
def test_posted_events_are_what_training_makes_of_them(
    settings: Settings, chain: FallbackChain, rules: SignalRules
) -> None:
    log = rows(0)
    with serving(settings, chain, rules) as (client, told):
        for start in range(0, len(log), 10):
            events = [
                {"user_id": user, "item_id": item, "event_type": kind, "weight": value, "timestamp": time.isoformat()}
                for user, item, kind, value, time in log[start : start + 10]
            ]
            assert client.post("/v1/events", json={"events": events}).json()["rejected"] == 0
            if start % 30 == 0:  # what is held is not older than what was acknowledged
                known = learned(log[: start + 10], rules)
                check(client, told, {user: one for user, one in known.items() if one[0].nnz})
        check(client, told, learned(log, rules))


def write_dataset(folder: Path, log: list[Row], rules: SignalRules) -> None:
    """As ingest leaves it: pairs once, disliked ones apart, and every event of what needs more than one row."""
    schema = ["user_id", "item_id", "event_type", "weight", "timestamp"]
    frame = pl.DataFrame(log, schema=schema, orient="row").with_columns(
        pl.Series("weight", [rules.weight(row[2], row[3]) for row in log], dtype=pl.Float32),
        pl.lit(None, dtype=pl.UInt32).alias("position"),
    )
    frame = frame.sort("user_id", "timestamp")
    pair = ["user_id", "item_id"]
    last = frame.unique(pair, keep="last", maintain_order=True)
    several = frame.filter((pl.len().over(pair) > 1) | (pl.col("weight").min().over(pair) < 0))
    folder.mkdir()
    last.filter(pl.col("weight") > 0).write_parquet(folder / "interactions.parquet")
    disliked = last.filter(pl.col("weight") < 0).with_columns(pl.col("weight").abs())
    disliked.write_parquet(folder / "dislikes.parquet")
    several.write_parquet(folder / "repeats.parquet")


@pytest.mark.parametrize("rules", EVERY_RULE)
def test_datasets_are_loaded_and_read_as_they_were_learned(
    settings: Settings, chain: FallbackChain, tmp_path: Path, rules: SignalRules
) -> None:
    log = rows(1)
    write_dataset(tmp_path / "shop", log, rules)
    known = learned(log, rules)
    table = DatasetEvents.open(str(tmp_path / "shop"))
    assert table.n_rows == len(log)
    store = EventStore(settings.store_url)
    assert store.append(table.batches(), "dataset:shop") == len(log)
    store.close()
    with serving(settings, chain, rules) as (client, told):
        check(client, told, known)
    for user, events in zip("xyz", DatasetHistories(tmp_path / "shop").read([*"xyz"]), strict=True):
        (histories, in_order), history = known[user], history_of(events, rules)
        assert {item: weight for item, weight in zip(ITEMS, histories.toarray()[0], strict=True) if weight} == history
        assert [item for item, weight in history.items() if weight > 0] == [ITEMS[item] for item in in_order]


@pytest.mark.parametrize("half_life", [math.inf, 4.0])
def test_ingested_events_are_what_posted_ones_are(
    settings: Settings, chain: FallbackChain, tmp_path: Path, half_life: float
) -> None:
    dataset_evidence = pytest.importorskip("pipelines.dataset.evidence")
    from pipelines.dataset.directory import DatasetDir
    from pipelines.ingest.cleaning import CleaningRules
    from pipelines.ingest.ingest import ingest
    from pipelines.ingest.log_sources import Source
    from recsys_vae.data.ids import IdMap
    from recsys_vae.data.signals import signed

    log = rows(2)
    frame = pl.DataFrame(log, schema=["user_id", "item_id", "event_type", "weight", "timestamp"], orient="row")
    frame.with_columns(pl.col("timestamp").dt.epoch("s")).write_csv(tmp_path / "log.csv")
    cleaning = CleaningRules(dislikes=("return", "hide"), dislike_below=2.5, event_weights=RULES.event_weights)
    ingest(Source((tmp_path / "log.csv",)), DatasetDir(tmp_path / "shop"), cleaning)
    rules = replace(RULES, keep="last", half_life=half_life)
    taste = dataset_evidence.taste_of(DatasetDir(tmp_path / "shop"), IdMap.from_values(ITEMS), half_life)
    matrix = signed(taste.liked.matrix, taste.disliked)
    known = learned(log, rules)
    for row, user in enumerate(taste.liked.users.values):
        np.testing.assert_allclose(matrix[[row]].toarray(), known[user][0].toarray(), rtol=1e-6)
    store = EventStore(settings.store_url)
    store.append(DatasetEvents.open(str(tmp_path / "shop")).batches(), "dataset:shop")
    store.close()
    with serving(settings, chain, rules) as (client, told):
        check(client, told, known)

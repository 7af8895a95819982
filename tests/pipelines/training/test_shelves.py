"""Shelves of a bundle: what is counted of a dataset's events, and what is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.user_features import UserMetadata
from pipelines.training.shelves import check_bought, make_shelves, rules_in
from recsys_vae.bundles.item_lists import LISTS, ListRules
from recsys_vae.bundles.shelves import Shelves
from recsys_vae.data.columns import EVENT_TYPE, ITEM, POSITION, TIMESTAMP, USER, WEIGHT
from recsys_vae.errors import ConfigError
from tests.pipelines.datasets_of_tastes import with_user_metadata

NOW = datetime(2026, 11, 1, tzinfo=UTC)
EVENTS = (  # user, item, kind, hours ago
    ("u0", "a", "view", 800), ("u0", "b", "buy", 800), ("u0", "c", "view", 2), ("u0", "d", "buy", 1),
    ("u1", "a", "buy", 801), ("u1", "b", "buy", 801), ("u1", "d", "view", 4),
    ("u2", "c", "buy", 400), ("u2", "d", "buy", 0),
)  # fmt: skip


def dataset(path: Path, *, timed: bool = True) -> DatasetDir:
    path.mkdir()
    users, items, kinds, hours = zip(*EVENTS, strict=True)
    times = [NOW - timedelta(hours=ago) if timed else None for ago in hours]
    frame = pl.DataFrame(
        {
            USER: users,
            ITEM: items,
            EVENT_TYPE: kinds,
            WEIGHT: [1.0] * len(users),
            TIMESTAMP: pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            POSITION: pl.Series([None] * len(users), dtype=pl.Int64),
        }
    )
    frame.write_parquet(path / "interactions.parquet")
    return DatasetDir(path)


def made(found: DatasetDir, rules: ListRules | None = None, cutoff: str | None = None) -> Shelves:
    return make_shelves(found, encode(found.interactions()), None, rules or ListRules(), cutoff)


def test_events_are_counted_by_window(tmp_path: Path) -> None:
    shelves = made(dataset(tmp_path / "d"))
    windows = shelves.lists.windows
    assert windows is not None
    assert shelves.lists.names == LISTS
    assert windows.recent.tolist() == [0, 0, 1, 3]
    assert windows.baseline.tolist() == [2, 2, 1, 0]
    assert windows.ages == pytest.approx([801 / 24, 801 / 24, 400 / 24, 4 / 24])


def test_what_was_not_learned_from_is_not_counted(tmp_path: Path) -> None:
    found = dataset(tmp_path / "d")
    everything = encode(found.interactions())
    matrix = everything.matrix.copy()
    matrix.data[everything.matrix.indices == 3] = 0
    matrix.eliminate_zeros()
    shelves = make_shelves(found, replace(everything, matrix=matrix), None, ListRules())
    assert shelves.lists.windows is not None
    assert shelves.lists.windows.recent[3] == shelves.lists.windows.baseline[3] == 0
    earlier = made(found, cutoff=(NOW - timedelta(hours=3)).isoformat())
    assert earlier.lists.windows is not None
    assert earlier.lists.windows.recent.tolist() == [0, 0, 0, 1]


def test_pairs_of_sessions_are_those_of_the_kinds_that_count(tmp_path: Path) -> None:
    found = dataset(tmp_path / "d")
    rules = ListRules(session_minutes=120)

    def pairs(rules: ListRules) -> list[list[int]]:
        neighbours = made(found, rules).neighbours
        assert neighbours is not None
        return np.argwhere(neighbours.together.toarray() > 0).tolist()

    assert pairs(rules) == [[0, 1], [1, 0]]  # in two sessions; c and d in one, which is not enough
    assert pairs(replace(rules, bought=("buy",))) == []
    wrong = ListRules(bought=("purchase",))
    with pytest.raises(ConfigError, match="the kinds are: buy, view"):
        made(found, wrong)
    everything = encode(found.interactions())
    with pytest.raises(ConfigError, match="the kinds are: buy, view"):
        check_bought(found, everything, wrong)
    early = (NOW - timedelta(hours=600)).isoformat()
    assert check_bought(found, everything, ListRules(bought=("buy", "view")), early) == ()
    assert check_bought(found, everything, ListRules(bought=("buy", "purchase"))) == ("purchase",)
    with pytest.raises(ConfigError, match="the kinds are: buy\\."):
        check_bought(found, everything, ListRules(bought=("view",)), (NOW - timedelta(hours=801)).isoformat())


def test_without_times_there_is_what_is_popular_and_histories_are_sessions(tmp_path: Path) -> None:
    shelves = made(dataset(tmp_path / "d", timed=False))
    assert shelves.lists.names == ("popular",)
    assert shelves.neighbours is not None
    assert shelves.neighbours.similar.nnz
    assert np.argwhere(shelves.neighbours.together.toarray() > 0).tolist() == [[0, 1], [1, 0]]


def test_segments_have_counts_of_their_own(tmp_path: Path) -> None:
    found = with_user_metadata(dataset(tmp_path / "d"))
    everything = encode(found.interactions())
    schema = UserMetadata.learn(found, everything.users).schema
    shelves = make_shelves(found, everything, schema, ListRules())
    windows = shelves.lists.windows
    assert windows is not None
    by_segment = windows.segments.toarray()
    left = int(np.flatnonzero(schema.encode([{"side": "left"}]).toarray()[0] == 1)[0])
    assert by_segment[left].tolist() == [0, 0, 1, 1]  # of u0; u1 is on the right, and nobody knows about u2
    assert by_segment.sum() == 3  # ages are no segments


def test_the_rules_of_a_bundle_are_found_again(tmp_path: Path) -> None:
    assert rules_in(tmp_path) == ListRules()
    rules = ListRules(3.0, 12.0)
    made(dataset(tmp_path / "d"), rules).write(tmp_path)
    assert rules_in(tmp_path) == rules

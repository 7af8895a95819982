from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.cold_start_users import cold_start_users_of, places, ranked_by_row
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.user_features import UserMetadata
from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation.splits import HeldOut
from tests.pipelines import logs_of_tastes
from tests.worlds import csr

ITEMS = IdMap.from_values(["a", "b", "c", "d"])
ANN = IdMap.from_values(["ann"])


def dataset(path: Path, *, ordered: bool = True) -> DatasetDir:
    rows = pl.DataFrame({"user_id": ["ann"] * 4 + ["bob"], "item_id": ["c", "x", "a", "d", "a"]})
    position = [0, 1, 2, None, 0] if ordered else [None] * 5
    return logs_of_tastes.dataset(
        path,
        rows.with_columns(
            pl.Series("position", position, dtype=pl.UInt32), timestamp=pl.lit(None, pl.Datetime("us", "UTC"))
        ),
    )


def test_items_have_the_place_that_the_table_gives_them(tmp_path: Path) -> None:
    found = places(dataset(tmp_path / "d"), ANN, ITEMS)
    assert found.toarray().tolist() == [[2, 0, 1, 3]]  # x is in no catalogue


def test_without_any_order_one_is_drawn_and_stays(tmp_path: Path) -> None:
    world = dataset(tmp_path / "d", ordered=False)
    first, again = places(world, ANN, ITEMS), places(world, ANN, ITEMS)
    assert (first.data == again.data).all()
    assert sorted(first.data) == [1, 2, 3]


def test_newcomers_keep_targets_and_rank_what_they_are_shown(tmp_path: Path) -> None:
    world = dataset(tmp_path / "d")
    part = HeldOut(ANN, csr([[2, 3]], 4), csr([[0]], 4))
    found = cold_start_users_of(part, ITEMS, UserMetadata.learn(world, ANN))
    assert found.places.toarray().tolist() == [[0, 0, 1, 2]]
    assert found.targets is part.targets
    assert found.metadata is None


def test_ranks_begin_at_one_in_every_row() -> None:
    ranked = ranked_by_row(csr_array(np.array([[5, 0, 2], [0, 9, 0], [7, 8, 1]], dtype=np.float32)))
    assert ranked.toarray().tolist() == [[2, 0, 1], [0, 1, 0], [2, 3, 1]]

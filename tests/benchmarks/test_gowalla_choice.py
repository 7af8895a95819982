"""How Gowalla's settings are chosen, on made-up interactions."""

import numpy as np
import polars as pl
import pytest

from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.graph_filter import GraphFilter, GraphFilterConfig
from tests.benchmarks.gowalla_choice import Grid, k_core, recut, some, try_filters, values
from tests.worlds import csr


def named(rows: list[list[int]], n_items: int) -> Interactions:
    users, items = (IdMap(pl.Series([f"{number:03}" for number in range(n)])) for n in (len(rows), n_items))
    return Interactions(csr(rows, n_items), users, items)


@pytest.fixture
def crowd() -> Interactions:
    rng = np.random.default_rng(0)
    return named([sorted(rng.permutation(30)[: rng.integers(5, 15)].tolist()) for _ in range(80)], 30)


def test_the_core_is_taken_until_nothing_is_left_to_take() -> None:
    """User 3 alone has item 2; without it one item is left to them, and item 3 then has one user."""
    core = k_core(named([[0, 1], [0, 1], [0, 1, 3], [2, 3]], 4), 2)
    assert core.users.values.to_list() == ["000", "001", "002"]
    assert core.items.values.to_list() == ["000", "001"]


def test_every_user_gives_a_fifth_rounded_up(crowd: Interactions) -> None:
    train, part = recut(crowd, least=5)
    shown, asked = entries.row_lengths(part.histories), entries.row_lengths(part.targets)
    np.testing.assert_array_equal(asked, np.ceil((shown + asked) / 5))
    assert part.overlap() == 0
    assert train.matrix.nnz + part.targets.nnz == k_core(crowd, 5).matrix.nnz


def test_filters_are_tried_as_the_model_would_rank(crowd: Interactions) -> None:
    train, held_out = recut(crowd, least=5)
    part: HeldOut = some(held_out, 70)
    grid = Grid(((0.5, 0.5), (0.3, 0.4)), (0.0, 0.2), (4,), (0.0, 2.5), (0.0, 0.3))
    tried = try_filters(train, part, grid)
    assert len(tried) == 16
    for one in tried:
        model = GraphFilter(train.n_items, GraphFilterConfig(**one["settings"]))
        model.fit(train.matrix)
        recall, ndcg = values(model, part).mean(axis=1)
        assert one["recall@20[all]"] == pytest.approx(recall, abs=1e-4)
        assert one["ndcg@20"] == pytest.approx(ndcg, abs=1e-4)

"""What every model of the catalogue promises."""

import numpy as np
import pytest

from recsys_vae.data.histories import empty_histories
from recsys_vae.errors import DataError
from recsys_vae.models import catalog
from recsys_vae.models.entry import read_traits
from recsys_vae.models.loading import create_to_load
from recsys_vae.native.library import library
from recsys_vae.protocols import FactorizedRecommender, Recommender, takes_order
from tests.worlds import SMALL, by_row, csr, scores, two_tastes, untrained

N_ITEMS = 12
HISTORIES = csr([[0, 1], [7], [], [2, 3, 4, 8]], N_ITEMS)


@pytest.fixture(params=list(catalog.CATALOG))
def model(request: pytest.FixtureRequest) -> Recommender:
    return untrained(request.param, N_ITEMS)


def test_every_model_is_tested() -> None:
    assert set(SMALL) == set(catalog.CATALOG)


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_a_configuration_says_of_its_model_what_the_class_has(name: str) -> None:
    entry = catalog.entry(name)
    assert entry.traits == read_traits(entry.model)
    assert catalog.name_of(untrained(name, N_ITEMS)) == name


def test_scores_are_finite_float32_also_for_an_empty_history(model: Recommender) -> None:
    found = scores(model, HISTORIES)
    assert found.shape == (4, N_ITEMS)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.isfinite(model.score(empty_histories(1, N_ITEMS))).all()


def test_prediction_is_deterministic(model: Recommender) -> None:
    assert (scores(model, HISTORIES) == scores(model, HISTORIES)).all()


def test_a_user_is_scored_alike_alone_and_in_a_batch(model: Recommender) -> None:
    np.testing.assert_allclose(scores(model, HISTORIES)[3], scores(model, HISTORIES[3:])[0], rtol=1e-5, atol=1e-6)


def test_a_query_is_the_same_bit_by_bit_alone_and_in_any_batch(model: Recommender) -> None:
    """Lists that were computed in batches are made again alone; who goes by order pads what is shorter."""
    if not isinstance(model, FactorizedRecommender) or takes_order(model):
        pytest.skip("this model has no queries, or goes by order")
    if library() is None:
        pytest.skip("without compiled loops they agree to rounding")
    model.load_tensors(model.tensors())  # as a bundle does
    draw = np.random.default_rng(0)
    histories = csr([sorted(draw.choice(N_ITEMS, 1 + row % 7, replace=False)) for row in range(40)], N_ITEMS)
    together = model.encode(histories)
    for n in range(1, 40):
        assert (model.encode(histories[:n]) == together[:n]).all()
        assert (model.encode(histories[n : n + 1]) == together[n]).all()


def test_scores_are_inner_products_of_queries_and_item_vectors(model: Recommender) -> None:
    if not isinstance(model, FactorizedRecommender):
        pytest.skip("the scores of this model are not inner products")
    order = {"order": by_row(HISTORIES)} if takes_order(model) else {}
    products = model.encode(HISTORIES, **order) @ model.item_vectors().T
    np.testing.assert_allclose(products, scores(model, HISTORIES), rtol=1e-5, atol=1e-6)


def test_tensors_carry_the_model_over(model: Recommender) -> None:
    name = catalog.name_of(model)
    other = create_to_load(name, N_ITEMS, catalog.configure(name, catalog.settings_of(model)))
    other.load_tensors(model.tensors())
    # Layers that were taken over are packed, and sum in another order.
    np.testing.assert_allclose(scores(other, HISTORIES), scores(model, HISTORIES), rtol=1e-5, atol=1e-6)
    model.load_tensors(other.tensors())
    assert (scores(other, HISTORIES) == scores(model, HISTORIES)).all()


def test_tensors_of_another_catalogue_are_refused(model: Recommender) -> None:
    name = catalog.name_of(model)
    with pytest.raises(DataError):
        catalog.create(name, N_ITEMS + 1, SMALL[name]).load_tensors(model.tensors())


def test_histories_of_another_catalogue_are_refused(model: Recommender) -> None:
    with pytest.raises(DataError, match="13 items wide"):
        model.score(empty_histories(1, 13))


def test_who_goes_by_order_refuses_histories_without(model: Recommender) -> None:
    if not takes_order(model):
        pytest.skip("this model does not go by order")
    with pytest.raises(DataError, match="goes by the order"):
        model.score(HISTORIES)
    reverse = by_row(HISTORIES)
    reverse.data = 100 - reverse.data
    assert np.abs(model.score(HISTORIES, order=reverse)[3] - scores(model, HISTORIES)[3]).max() > 1e-4


def test_settings_describe_the_model(model: Recommender) -> None:
    settings = catalog.settings_of(model)
    assert catalog.configure(catalog.name_of(model), settings) == model.config  # type: ignore[attr-defined]


def test_closed_form_models_rank_the_users_taste_first() -> None:
    world = two_tastes(n_items=N_ITEMS)
    model = untrained("ease", N_ITEMS)
    best = model.score(world.matrix).argsort(axis=1)[:, -6:]
    of_own_half = (best >= 6) == (np.arange(world.n_users) % 2)[:, None]
    assert of_own_half.mean() > 0.95

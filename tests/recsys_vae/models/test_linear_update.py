import numpy as np
import pytest

from recsys_vae.arrays import floats_of
from recsys_vae.data.change import Change
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import DataError
from recsys_vae.models import linear_autoencoder, linear_update
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.edlae import EDLAE, EDLAEConfig
from recsys_vae.models.linear_autoencoder import DIAGONAL, LinearAutoencoder
from recsys_vae.models.updatable import EXACT, REFIT
from tests.worlds import csr

MODELS = [(EASE, EASEConfig(l2=20.0)), (EDLAE, EDLAEConfig(l2=20.0))]
N_USERS, N_ITEMS = 300, 40


@pytest.fixture(params=MODELS, ids=["ease", "edlae"])
def fitted(request: pytest.FixtureRequest) -> LinearAutoencoder:
    model_class, config = request.param
    model: LinearAutoencoder = model_class(N_ITEMS - 4, config)
    model.fit(before().matrix)
    return model


def interactions(liked: np.ndarray, users: np.ndarray) -> Interactions:
    """Users who like something, and items that somebody likes."""
    rows = np.flatnonzero(users)
    columns = np.flatnonzero(liked[rows].any(axis=0))
    lists = [np.flatnonzero(liked[row][columns]).tolist() for row in rows]
    ids = IdMap.from_values(f"u{row:03}" for row in rows), IdMap.from_values(f"i{column:02}" for column in columns)
    return Interactions(csr(lists, len(columns)), *ids)


def liked() -> np.ndarray:
    """Who likes what in the end, shape (N_USERS, N_ITEMS)."""
    found: np.ndarray = np.random.default_rng(0).random((N_USERS, N_ITEMS)) < np.linspace(0.4, 0.1, N_ITEMS)
    return found


def before() -> Interactions:
    """Without the last users, without four items, and some users without half of what they like."""
    earlier = liked()
    earlier[:, [3, 17, 18, 39]] = False
    earlier[:5, ::2] = False
    return interactions(earlier, np.arange(N_USERS) < N_USERS - 4)


def after() -> Interactions:
    """What is to be learned: new and changed users and items, some users gone, and an item with them."""
    later = liked()
    later[:, 20] = False
    return interactions(later, np.arange(N_USERS) >= 3)


def difference(model: LinearAutoencoder, wanted: Interactions) -> float:
    """Largest difference to a fit, as a share of the largest entry."""
    fit = type(model)(wanted.n_items, model.config)
    fit.fit(wanted.matrix)
    found, scratch = (floats_of(one.tensors(), "weights", (None, None)) for one in (model, fit))
    return float(np.abs(found - scratch).max() / np.abs(scratch).max())


def of(made: object) -> LinearAutoencoder:
    assert isinstance(made, LinearAutoencoder)
    return made


def test_an_update_equals_a_fit(fitted: LinearAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_update, "WORTH_IT", np.inf)
    monkeypatch.setattr(linear_update, "BLOCK", 16)
    kept = floats_of(fitted.tensors(), "weights", (None, None)).copy()
    made = fitted.updated(Change(before(), after()))
    assert made.how == EXACT
    assert difference(of(made.model), after()) < 3e-6
    assert made.figures["largest_error"] < linear_autoencoder.TOLERANCE
    np.testing.assert_array_equal(kept, fitted.tensors()["weights"])


def test_an_erased_user_equals_one_never_seen(fitted: LinearAutoencoder) -> None:
    whole = before()
    rest = interactions(liked_before(), np.isin(np.arange(N_USERS), range(1, N_USERS - 4)))
    made = fitted.updated(Change(whole, rest))
    assert difference(of(made.model), rest) < 3e-6
    back = of(made.model).updated(Change(rest, whole))
    assert difference(of(back.model), whole) < 3e-6


def liked_before() -> np.ndarray:
    earlier = liked()
    earlier[:, [3, 17, 18, 39]] = False
    earlier[:5, ::2] = False
    return earlier


def test_a_bundle_from_before_updates_has_all_that_they_need(
    fitted: LinearAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_update, "WORTH_IT", np.inf)
    old = type(fitted)(fitted.n_items, fitted.config)
    old.load_tensors({"weights": fitted.tensors()["weights"]})
    assert DIAGONAL not in old.tensors()
    made = old.updated(Change(before(), after()))
    assert made.how == EXACT
    assert difference(of(made.model), after()) < 3e-6


def test_an_update_that_would_cost_more_is_a_fit(fitted: LinearAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_update, "WORTH_IT", 0.0)
    change = Change(before(), after())
    assert fitted.plan(change)["how"] == REFIT
    made = fitted.updated(change)
    assert made.how == REFIT
    assert difference(of(made.model), after()) == 0


def test_an_update_that_went_wrong_is_found_out_and_is_a_fit(
    fitted: LinearAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_update, "WORTH_IT", np.inf)
    tensors = fitted.tensors()
    wrong = type(fitted)(fitted.n_items, fitted.config)
    wrong.load_tensors(tensors | {"weights": floats_of(tensors, "weights", (None, None)) * np.float32(1.001)})
    made = wrong.updated(Change(before(), after()))
    assert made.how == REFIT
    assert difference(of(made.model), after()) == 0


def test_the_error_that_is_told_is_the_error(fitted: LinearAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_update, "PROBES", 4 * N_ITEMS)
    wanted = before()
    weights = floats_of(fitted.tensors(), "weights", (None, None)).copy()
    weights[2, 7] += 0.01 * np.abs(weights).max()
    diagonal = fitted.tensors()[DIAGONAL].astype(np.float64)
    system = linear_update.LinearSystem(weights, diagonal)
    penalty = fitted.penalty(wanted.item_counts().astype(np.float64))
    told = linear_update.largest_error(system, wanted.matrix, penalty)
    assert told == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("wrong", [np.ones(3), np.full(N_ITEMS - 4, np.nan), np.ones(N_ITEMS - 4, np.float32)])
def test_a_damaged_diagonal_is_refused(fitted: LinearAutoencoder, wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match=DIAGONAL):
        fitted.load_tensors(fitted.tensors() | {DIAGONAL: wrong})


def test_work_grows_with_the_rank() -> None:
    assert linear_update.is_worth_it(20_000, 850)
    assert not linear_update.is_worth_it(20_000, 40_000)

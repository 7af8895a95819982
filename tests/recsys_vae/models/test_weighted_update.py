"""Updates of linear models under weights and dislikes: what an update gives is what a fit gives."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of
from recsys_vae.data.change import Change
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import disliked, liked, shown_to
from recsys_vae.models import linear_update
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.edlae import EDLAE, EDLAEConfig
from recsys_vae.models.ials import IALS, WARM_ITERATIONS, IALSConfig
from recsys_vae.models.linear_autoencoder import LinearAutoencoder
from recsys_vae.models.updatable import EXACT, REFIT, WARM

N_USERS, N_ITEMS = 300, 40
MODELS = [
    (EASE, EASEConfig(l2=20.0, weights="value")),
    (EASE, EASEConfig(l2=20.0, weights="log", dislikes=0.5)),
    (EDLAE, EDLAEConfig(l2=20.0, weights="log")),
    (EDLAE, EDLAEConfig(l2=20.0, dislikes=1.0)),
]
APART = (EASE, EASEConfig(l2=20.0, input_weights="log", dislikes=0.5))


def signals() -> np.ndarray:
    """What everybody says in the end, shape (N_USERS, N_ITEMS): 1 to 5 for an item, -1 to -5 against it."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, (N_USERS, N_ITEMS)) * np.where(rng.random((N_USERS, N_ITEMS)) < 0.2, -1, 1)
    found: np.ndarray = np.where(rng.random((N_USERS, N_ITEMS)) < np.linspace(0.4, 0.1, N_ITEMS), sizes, 0)
    return found


def side(said: np.ndarray, users: np.ndarray) -> tuple[Interactions, csr_array]:
    """Interactions of some users over the items that somebody likes, and their dislikes."""
    rows = np.flatnonzero(users)
    columns = np.flatnonzero((said[rows] > 0).any(axis=0))
    matrix = csr_array(said[rows][:, columns].astype(np.float32))
    ids = IdMap.from_values(f"u{row:03}" for row in rows), IdMap.from_values(f"i{column:02}" for column in columns)
    return Interactions(liked(matrix), *ids), disliked(matrix)


def change() -> Change:
    """New and gone users and items, other weights alone, and likes that became dislikes."""
    earlier, later = signals(), signals()
    earlier[:, [3, 17]] = 0
    earlier[:4] = -earlier[:4]
    earlier[5:8] = np.sign(earlier[5:8])
    later[:, 20] = 0
    before, after = side(earlier, np.arange(N_USERS) < N_USERS - 4), side(later, np.arange(N_USERS) >= 3)
    return Change(before[0], after[0], before[1], after[1])


def fitted(model_class: type, config: object, histories: csr_array) -> LinearAutoencoder:
    model: LinearAutoencoder = model_class(histories.shape[1], config)
    model.fit(shown_to(model, histories))
    return model


def difference(one: object, other: LinearAutoencoder) -> float:
    assert isinstance(one, LinearAutoencoder)
    found, wanted = (floats_of(model.tensors(), "weights", (None, None)) for model in (one, other))
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize(("model_class", "config"), MODELS)
def test_an_update_equals_a_fit(model_class: type, config: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_update, "WORTH_IT", np.inf)
    happened = change()
    made = fitted(model_class, config, happened.learned).updated(happened)
    assert made.how == EXACT
    assert difference(made.model, fitted(model_class, config, happened.to_learn)) < 3e-6


@pytest.mark.parametrize("setting", [{}, {"dislikes": 0.0}])
def test_targets_of_their_own_are_fitted_again(setting: dict[str, float]) -> None:
    happened, (model_class, config) = change(), APART
    config = replace(config, **setting)  # type: ignore[arg-type]
    parent = fitted(model_class, config, happened.learned)
    assert parent.plan(happened)["how"] == REFIT
    made = parent.updated(happened)
    assert made.how == REFIT
    assert difference(made.model, fitted(model_class, config, happened.to_learn)) == 0


def test_where_it_is_not_known_what_was_disliked_before_it_is_a_fit() -> None:
    happened, (model_class, config) = replace(change(), dislikes_before=None), MODELS[3]
    made = fitted(model_class, config, happened.learned).updated(happened)
    assert (made.how, made.figures["why"]) == (REFIT, "what was disliked before is not known")
    assert difference(made.model, fitted(model_class, config, happened.to_learn)) == 0
    assert "why" not in fitted(EASE, EASEConfig(l2=20.0), happened.learned).plan(happened)


def test_ials_is_updated_by_dislikes_too() -> None:
    happened, config = change(), IALSConfig(factors=8, dislikes=1.0)
    made, wanted = IALS(happened.before.n_items, config), IALS(happened.after.n_items, config)
    made.fit(happened.learned)
    wanted.fit(happened.to_learn)
    refitted = made.updated(happened)  # users are gone
    assert refitted.how == REFIT
    np.testing.assert_array_equal(refitted.model.score(happened.to_learn), wanted.score(happened.to_learn))
    later = replace(happened, before=happened.after, dislikes_before=None)
    warm = wanted.updated(later)
    assert warm.how == WARM
    wanted.go_on(happened.to_learn, WARM_ITERATIONS)
    np.testing.assert_array_equal(warm.model.score(happened.to_learn), wanted.score(happened.to_learn))


def test_only_users_who_say_something_else_count() -> None:
    """Weights alone changed of users 5 to 7; of a binary model these say the same as before."""
    happened = change()
    gone, came = happened.rows_that_differ(lambda histories: histories)
    assert gone.shape == came.shape
    rows = happened.differing_after(lambda histories: histories)
    ids = happened.after.users.values.gather(rows).to_list()
    assert {"u003", "u005", "u006", "u007", "u299"} <= set(ids)

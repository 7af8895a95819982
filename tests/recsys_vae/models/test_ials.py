from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.data.change import Change
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.cost import Sizes
from recsys_vae.models.ials import IALS, IALSConfig, principal_axes, weighed
from recsys_vae.models.updatable import REFIT, WARM
from recsys_vae.protocols import takes_dislikes
from tests.worlds import csr, two_tastes

WORLD = two_tastes()


def fitted(matrix: csr_array, **settings: Any) -> IALS:
    model = IALS(matrix.shape[1], IALSConfig(**settings))
    model.fit(matrix)
    return model


def loss(matrix: csr_array, users: np.ndarray, items: np.ndarray, model: IALS) -> float:
    """The objective, written out over all pairs."""
    config = model.config
    dense = matrix.toarray().astype(np.float64)
    weights = np.where(dense != 0, weighed(np.abs(dense), config.weights), 0) * np.where(dense < 0, config.dislikes, 1)
    confidence = config.unobserved + weights
    errors = confidence * ((dense > 0) - users @ items.T) ** 2
    sizes = [
        (confidence.sum(axis=axis) ** config.l2_exponent * (side**2).sum(axis=1)).sum()
        for axis, side in ((1, users), (0, items))
    ]
    strengths = [(confidence.sum(axis=axis) ** config.l2_exponent).sum() for axis in (0, 1)]
    return float(errors.sum() + config.l2 * 2 * confidence.sum() / sum(strengths) * sum(sizes))


def signed_world() -> csr_array:
    draw = np.random.default_rng(0)
    matrix = WORLD.matrix.copy()
    matrix.data = (draw.uniform(0.5, 4, matrix.nnz) * draw.choice([-1, 1, 1], matrix.nnz)).astype(np.float32)
    return matrix


def long_histories(n_users: int = 60) -> Interactions:
    """Some 30 of 50 items a user, more than a block has dimensions; the first users are the same of any number."""
    matrix = csr_array((np.random.default_rng(0).random((n_users, 50)) < 0.6).astype(np.float32))
    users = IdMap.from_values(f"u{user:03}" for user in range(n_users))
    return Interactions(matrix, users, IdMap.from_values(f"i{item:03}" for item in range(50)))


LONG: dict[str, Any] = {"factors": 24, "block": 16}


def test_one_user_and_one_item_by_hand() -> None:
    """Of one factor, with y = 1: (unobserved + w) (1 - x)^2 + l2 x^2 is least at x = c / (c + l2), c = 1.5."""
    model = IALS(1, IALSConfig(factors=1, unobserved=0.5, l2_exponent=0.0))
    ones = np.ones((1, 1), np.float32)
    model.load_tensors({"items": ones, "spectrum": ones[0], "penalty": ones[0] * np.float32(0.75)})
    np.testing.assert_allclose(model.encode(csr([[0], []], 1)), [[1.5 / 2.25], [0.0]], rtol=1e-6)


@pytest.mark.parametrize("weights", ["binary", "log", "value"])
@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0])
def test_a_user_is_solved_exactly(weights: str, exponent: float) -> None:
    """The gradient of the objective in the user's vector is 0 at what `encode` gives."""
    matrix = signed_world()
    model = fitted(matrix, factors=3, dislikes=0.7, weights=weights, l2_exponent=exponent, l2=0.1)
    users, items = model.encode(matrix).astype(np.float64), model.item_vectors().astype(np.float64)
    least = loss(matrix, users, items, model)
    draw = np.random.default_rng(0)
    for _ in range(5):
        step = draw.standard_normal(users.shape) * 1e-3
        ahead, behind = (loss(matrix, users + sign * step, items, model) for sign in (1, -1))
        assert ahead > least < behind
        assert abs(ahead - behind) < 0.01 * (ahead + behind - 2 * least)


def test_every_iteration_lowers_the_objective() -> None:
    matrix, found = signed_world(), []
    for iterations in (1, 2, 4, 30):
        model = fitted(matrix, factors=4, dislikes=1.0, iterations=iterations)
        found.append(loss(matrix, model.encode(matrix), model.item_vectors(), model))
    assert found == sorted(found, reverse=True)


def test_without_compiled_loops_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = fitted(signed_world(), factors=4, dislikes=1.0).score(signed_world())
    monkeypatch.setenv("RECSYS_NATIVE", "0")
    by_torch = fitted(signed_world(), factors=4, dislikes=1.0).score(signed_world())
    np.testing.assert_allclose(by_torch, compiled, atol=1e-4)


def test_blocks_without_compiled_loops_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = long_histories().matrix
    compiled = fitted(matrix, iterations=4, l2=0.01, **LONG).score(matrix)
    monkeypatch.setenv("RECSYS_NATIVE", "0")
    np.testing.assert_allclose(fitted(matrix, iterations=4, l2=0.01, **LONG).score(matrix), compiled, atol=1e-4)


def test_blocks_reach_the_optimum_of_exact_half_steps() -> None:
    """Penalised so that fewer factors are left than there are: one optimum, that of a convex problem."""
    matrix = long_histories().matrix
    exact = fitted(matrix, iterations=40, l2=0.05, factors=24, block=0).score(matrix)
    by_blocks = fitted(matrix, iterations=40, l2=0.05, **LONG).score(matrix)
    np.testing.assert_allclose(by_blocks, exact, atol=1e-4 * np.abs(exact).max())


def test_the_first_and_the_last_iteration_are_exact() -> None:
    matrix = long_histories().matrix
    by_blocks = {n: fitted(matrix, iterations=n, **LONG).score(matrix) for n in (2, 3)}
    exact = {n: fitted(matrix, iterations=n, factors=24, block=0).score(matrix) for n in (2, 3)}
    np.testing.assert_array_equal(by_blocks[2], exact[2])
    assert np.abs(by_blocks[3] - exact[3]).max() > 0.01


def test_an_iteration_by_blocks_lowers_the_objective() -> None:
    matrix, found = long_histories().matrix, []
    for iterations in (1, 2, 3, 4, 30):
        model = fitted(matrix, iterations=iterations, **LONG)
        found.append(loss(matrix, model.encode(matrix), model.item_vectors(), model))
    assert found == sorted(found, reverse=True)


def test_an_update_by_blocks_reaches_the_optimum_of_what_is_there_after() -> None:
    before, after = long_histories(50), long_histories(60)
    made = fitted(before.matrix, l2=0.05, **LONG).updated(Change(before, after))
    wanted = fitted(after.matrix, l2=0.05, iterations=40, factors=24, block=0).score(after.matrix)
    assert made.how == WARM
    assert isinstance(made.model, IALS)
    np.testing.assert_allclose(made.model.score(after.matrix), wanted, atol=1e-3 * np.abs(wanted).max())


def test_blocks_take_less_work() -> None:
    sizes = Sizes(1000, 100, 50_000)
    assert (
        IALS.cost(IALSConfig(128, block=32), sizes).operations < IALS.cost(IALSConfig(128, block=0), sizes).operations
    )
    assert IALS.cost(IALSConfig(32, block=64), sizes) == IALS.cost(IALSConfig(32, block=0), sizes)


def test_the_users_taste_comes_first() -> None:
    model = fitted(WORLD.matrix, factors=2)
    best = model.score(WORLD.matrix).argsort(axis=1)[:, -6:]
    assert ((best >= 6) == (np.arange(WORLD.n_users) % 2)[:, None]).mean() > 0.95


def test_a_disliked_item_scores_below_an_unknown_one() -> None:
    model = fitted(WORLD.matrix, factors=4, dislikes=1.0)
    assert takes_dislikes(model)
    against = csr([[0, 1, 2]], 12)
    against.data[2] = -1
    without = model.score(csr([[0, 1]], 12))[0]
    assert model.score(against)[0, 2] < without[2]


def test_dislikes_are_refused_by_a_model_that_does_not_take_them() -> None:
    model = IALS(12, IALSConfig(factors=2))
    assert not takes_dislikes(model)
    with pytest.raises(DataError, match="weights <= 0"):
        model.fit(signed_world())


def test_weights_of_the_largest_size_stay_finite() -> None:
    matrix = WORLD.matrix.copy()
    matrix.data[:] = np.resize(np.array([1e-38, 1e38, 1], np.float32), matrix.nnz)
    assert np.isfinite(fitted(matrix, factors=4, weights="value").score(matrix)).all()


def test_weights_count_as_they_are_set() -> None:
    given = np.array([1.0, 3.0], np.float32)
    assert weighed(given, "binary").tolist() == [1, 1]
    np.testing.assert_allclose(weighed(given, "log"), np.log([2, 4]))
    assert weighed(given, "value").tolist() == [1, 3]


def test_along_its_axes_a_gram_matrix_is_diagonal() -> None:
    vectors = np.random.default_rng(0).standard_normal((30, 4), np.float32)
    axes, spectrum = principal_axes(vectors)
    turned = vectors @ axes
    np.testing.assert_allclose(turned.T @ turned, np.diag(spectrum), atol=1e-4)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-4)


def test_an_update_goes_on_from_the_item_vectors() -> None:
    before, after = two_tastes(n_users=36, n_items=12), two_tastes(n_users=40, n_items=14)
    parent = fitted(before.matrix, factors=2)
    change = Change(before, after)
    assert parent.plan(change)["how"] == WARM
    made = parent.updated(change)
    assert made.how == WARM
    assert isinstance(made.model, IALS)
    best = made.model.score(after.matrix).argsort(axis=1)[:, -7:]
    assert ((best >= 7) == (np.arange(40) % 2)[:, None]).mean() > 0.95


def test_an_update_forgets_users_who_are_gone() -> None:
    before, after = two_tastes(n_users=40), two_tastes(n_users=36)
    change, parent = Change(before, after), fitted(before.matrix, factors=2)
    made = parent.updated(change)
    assert made.how == parent.plan(change)["how"] == REFIT
    np.testing.assert_array_equal(made.model.tensors()["items"], fitted(after.matrix, factors=2).tensors()["items"])


def test_what_no_fit_leaves_is_refused() -> None:
    model = IALS(2, IALSConfig(factors=1))
    with pytest.raises(DataError, match="not been fitted"):
        model.score(csr([[0]], 2))
    items, spectrum = np.ones((2, 1), np.float32), np.ones(1, np.float32)
    whole = {"items": items, "spectrum": spectrum, "penalty": spectrum}
    with pytest.raises(DataError, match="no eigenvalues"):
        model.load_tensors(whole | {"spectrum": -spectrum})
    with pytest.raises(DataError, match="overflow"):
        model.load_tensors(whole | {"items": items * np.float32(1e7)})
    with pytest.raises(DataError, match="'penalty'"):
        model.load_tensors(whole | {"penalty": -spectrum})


@pytest.mark.parametrize(
    "settings",
    [
        {"l2": 0.0},
        {"factors": 0},
        {"l2_exponent": 2.0},
        {"weights": "counts"},
        {"dislikes": -1.0},
        {"unobserved": 0.0},
        {"block": -16},
        {"block": 24},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        IALSConfig(**settings)


def test_going_on_is_as_good_as_not_having_stopped() -> None:
    whole, stopped = fitted(WORLD.matrix, factors=3, iterations=5), fitted(WORLD.matrix, factors=3, iterations=2)
    stopped.go_on(WORLD.matrix, 3)
    np.testing.assert_allclose(stopped.score(WORLD.matrix), whole.score(WORLD.matrix), atol=1e-4)

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models import graph_filter, sharpening, spectrum
from recsys_vae.models.graph_filter import GraphFilter, GraphFilterConfig
from recsys_vae.models.sharpening import _largest
from tests.worlds import csr, two_tastes

TWO_USERS = csr([[0, 1], [0]], 2)
"""Degrees of the items: 2 and 1; lengths of the histories: 2 and 1. Then

    R~ = [[1/2, 1/sqrt 2], [1/sqrt 2, 0]],  P = [[3/4, c], [c, 1/2]] with c = 1 / (2 sqrt 2),

with eigenvalues 1 and 1/4, the first with the vector (sqrt 2, 1) / sqrt 3: the roots of the degrees.
"""
C = 8**-0.5
EITHER = csr([[0], [1], [0, 1], []], 2)


def fitted(**settings: float | str) -> GraphFilter:
    model = GraphFilter(2, GraphFilterConfig(**settings))  # type: ignore[arg-type]
    model.fit(TWO_USERS)
    return model


def test_the_linear_filter_is_the_normalised_gram_matrix() -> None:
    expected = [[0.75, C], [C, 0.5], [0.75 + C, C + 0.5], [0.0, 0.0]]
    np.testing.assert_allclose(fitted(low_pass=0.0).score(EITHER), expected, rtol=1e-6)


def test_the_low_pass_of_rank_one_adds_popularity() -> None:
    """D^-1/2 v v^T D^1/2 has the rows (2, 1) / 3: the degrees' shares, for each item of the history."""
    without, with_it = fitted(low_pass=0.0).score(EITHER), fitted(low_pass=0.3, rank=1).score(EITHER)
    shares = np.array([[2 / 3, 1 / 3]])
    np.testing.assert_allclose(with_it - without, 0.3 * shares * [[1], [1], [2], [0]], atol=1e-6)


def test_the_low_pass_of_full_rank_adds_the_history() -> None:
    added = fitted(low_pass=0.3, rank=2).score(EITHER) - fitted(low_pass=0.0).score(EITHER)
    np.testing.assert_allclose(added, 0.3 * EITHER.toarray(), atol=1e-6)


def test_sharpening_damps_the_leading_components_alone() -> None:
    """In time T the eigenvalue 1 of P = P_1 + P_2 becomes e^-T, and 1/4 stays; P_1 = [[2, sqrt 2], [sqrt 2, 1]] / 3."""
    leading = np.array([[2.0, 2**0.5], [2**0.5, 1.0]]) / 3
    expected = np.array([[0.75, C], [C, 0.5]]) + (np.exp(-1.5) - 1) * leading
    np.testing.assert_allclose(fitted(low_pass=0.0, rank=1, sharpening=1.5).score(EITHER[:2]), expected, atol=1e-6)


def test_sharpening_of_full_rank_is_the_matrix_exponential() -> None:
    """dh/dt = -hP from h = xP, by Euler's method in ten thousand steps."""
    P = np.array([[0.75, C], [C, 0.5]])
    h = EITHER.toarray() @ P
    for _ in range(10_000):
        h = h - 1e-4 * h @ P
    np.testing.assert_allclose(fitted(low_pass=0.0, sharpening=1.0).score(EITHER), h, atol=1e-4)


def test_exponents_weigh_users_and_items() -> None:
    """Without normalisation P counts common users, [[2, 1], [1, 1]]; its largest eigenvalue is (3 + sqrt 5) / 2.

    With q = 1 the entry of items i, j is multiplied by degree j over degree i.
    """
    largest = (3 + 5**0.5) / 2
    plain = fitted(user_exponent=0.0, item_exponent=0.0, low_pass=0.0)
    np.testing.assert_allclose(plain.score(EITHER[:2]) * largest, [[2, 1], [1, 1]], rtol=1e-5)
    leaning = fitted(user_exponent=0.0, item_exponent=0.0, popularity_exponent=1.0, low_pass=0.0)
    np.testing.assert_allclose(leaning.score(EITHER[:2]) * largest, [[2, 0.5], [2, 1]], rtol=1e-5)


def test_items_and_users_without_interactions_are_finite() -> None:
    model = GraphFilter(4, GraphFilterConfig(popularity_exponent=-0.5, sharpening=1.0))
    model.fit(csr([[0, 1], [], [1, 2]], 4))
    scores = model.score(csr([[3], []], 4))
    assert (scores == 0).all()
    model.fit(csr([[], []], 4))
    assert (model.score(csr([[3], [0, 1]], 4)) == 0).all()


def test_more_users_than_a_chunk_are_scored_like_one() -> None:
    world = two_tastes(n_users=150)
    model = GraphFilter(12, GraphFilterConfig(sharpening=1.0, popularity_exponent=0.2))
    model.fit(world.matrix)
    alone = np.vstack([model.score(world.matrix[[user]]) for user in range(150)])
    np.testing.assert_allclose(model.score(world.matrix), alone, rtol=1e-5)


def test_the_published_process_is_one_step_of_runge_and_kutta_over_everything() -> None:
    """(x P + alpha x D^-1/2 v v^T D^1/2) p(P), and p(P) h is what the method's four stages make of h."""
    P, leading = np.array([[0.75, C], [C, 0.5]]), np.array([[2.0, 1.0], [2.0, 1.0]]) / 3
    h, T = EITHER.toarray() @ (P + 0.2 * leading), 2.5
    first = -h @ P
    second = -(h + T / 2 * first) @ P
    third = -(h + T / 2 * second) @ P
    fourth = -(h + T * third) @ P
    expected = h + T / 6 * (first + 2 * second + 2 * third + fourth)
    found = fitted(solver="rk4", rank=1, low_pass=0.2, sharpening=2.5).score(EITHER)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("settings", [{"low_pass": 0.3}, {"popularity_exponent": 0.4, "low_pass": 0.0}])
def test_both_solvers_are_the_same_filter_before_the_sharpening(settings: dict[str, float]) -> None:
    world = two_tastes(n_users=150)
    scores = []
    for solver in ("leading", "rk4"):
        model = GraphFilter(12, GraphFilterConfig(solver=solver, rank=3, **settings))  # type: ignore[arg-type]
        model.fit(world.matrix)
        scores.append(model.score(world.matrix))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


def test_the_entries_that_are_kept_are_the_largest_besides_the_leading_components() -> None:
    """P = diag(1, 1/4) rotated; without its leading component, 1/4 v v^T with v = (1, -sqrt 2) / sqrt 3 is left.

    Its rows are (1, -sqrt 2) / 12 and (-sqrt 2, 2) / 12: one entry a row is the second.
    """
    tensors = fitted(solver="rk4", rank=1, low_pass=0.0, neighbours=1).tensors()
    np.testing.assert_array_equal(tensors["local.indices"], [1, 1])
    assert tensors["local.indices"].dtype == np.int32
    np.testing.assert_allclose(tensors["local.data"], [-(2**0.5) / 12, 1 / 6], atol=1e-6)


def test_of_entries_of_one_size_the_first_are_kept() -> None:
    rows = np.array([[0.5, -2.0, 0.5, 0.5], [1.0, 0.0, 0.0, -1.0]], dtype=np.float32)
    np.testing.assert_array_equal(_largest(rows, 2), [[0, 1], [0, 3]])
    np.testing.assert_array_equal(_largest(rows, 3), [[0, 1, 2], [0, 1, 3]])
    np.testing.assert_array_equal(_largest(rows, 4), [[0, 1, 2, 3]] * 2)


def test_rows_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    world = two_tastes(n_users=150).matrix
    settings = GraphFilterConfig(solver="rk4", rank=3, sharpening=2.5, neighbours=5, popularity_exponent=0.2)
    scores = []
    for rows, columns in ((256, 64), (5, 2)):
        monkeypatch.setattr(sharpening, "ROWS", rows)
        monkeypatch.setattr(sharpening, "TILE", columns)
        monkeypatch.setattr(spectrum, "BLOCK", columns)
        monkeypatch.setattr(graph_filter, "STRIPE", columns)
        model = GraphFilter(12, settings)
        model.fit(world)
        scores.append(model.score(world))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reach", [0.0, 0.02, 0.05, 0.2, 1.0])
def test_a_shorter_polynomial_is_as_good_up_to_its_reach(reach: float) -> None:
    weights = sharpening.rk4_weights(2.5)
    found, places = sharpening.shorter(weights, reach), np.linspace(0, reach, 5001)
    differences = places * (np.polynomial.Polynomial(found)(places) - np.polynomial.Polynomial(weights)(places))
    assert np.abs(differences).max() <= 1.01 * sharpening.NEAR
    assert len(found) == {0.0: 1, 0.02: 3, 0.05: 4, 0.2: 5, 1.0: 5}[reach]


def test_the_reach_includes_eigenvalues_that_a_search_has_missed() -> None:
    """Of P = diag(1, 1, 1, 0.1, 0, ...), as of a graph in three parts, one 1 and 0.1 were found."""
    gram = spectrum.Gram(csr_array(np.diag(np.sqrt([1, 1, 1, 0.1, *[0] * 8])).astype(np.float32)))
    vectors = np.eye(12, dtype=np.float32)
    assert 1.0 <= sharpening.reach(gram, np.array([1.0, 0.1]), vectors[:, [0, 3]]) <= 1.1
    assert 0.1 <= sharpening.reach(gram, np.array([1.0, 1.0, 1.0, 0.1]), vectors[:, :4]) <= 0.111


def test_scores_without_compiled_loops_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = two_tastes(n_users=150).matrix
    settings = GraphFilterConfig(solver="rk4", rank=2, low_pass=0.0, sharpening=2.5, neighbours=12)
    scores = []
    for switch in ("1", "0"):
        monkeypatch.setenv("RECSYS_NATIVE", switch)
        model = GraphFilter(12, settings)
        model.fit(world)
        scores.append(model.score(world))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-6)


def test_unfitted_incomplete_and_senseless_are_refused() -> None:
    with pytest.raises(DataError, match="fit first"):
        GraphFilter(2, GraphFilterConfig()).score(EITHER)
    tensors = fitted().tensors()
    del tensors["left"]
    with pytest.raises(DataError, match="left"):
        GraphFilter(2, GraphFilterConfig()).load_tensors(tensors)
    with pytest.raises(ConfigError, match="rank"):
        GraphFilterConfig(rank=0)
    with pytest.raises(ConfigError, match="sharpening"):
        GraphFilterConfig(sharpening=-1)
    with pytest.raises(ConfigError, match="leading or rk4"):
        GraphFilterConfig(solver="euler")

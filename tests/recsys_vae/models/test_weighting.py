from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.data.signals import shown_to
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend, Part
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.elsa import ELSA, ELSAConfig
from recsys_vae.models.graph_filter import GraphFilter, GraphFilterConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.weighting import PLAIN, SignedOptions, WeightOptions, options_of, weighed
from recsys_vae.nn.objective import Objective
from recsys_vae.protocols import ClosedFormRecommender, FactorizedRecommender, takes_dislikes
from tests.worlds import SMALL

WITH_WEIGHTS = [name for name, config in SMALL.items() if isinstance(config, WeightOptions)]
SIGNED = [name for name, config in SMALL.items() if isinstance(config, SignedOptions)]
N_ITEMS = 12


def matrix(rows: Sequence[Sequence[float]]) -> csr_array:
    return csr_array(np.array(rows, dtype=np.float32))


def world(seed: int = 0, *, signed: bool = False) -> csr_array:
    rng = np.random.default_rng(seed)
    dense = rng.integers(1, 6, (30, N_ITEMS)) * (rng.random((30, N_ITEMS)) < 0.4)
    if signed:
        dense = dense * np.where(rng.random(dense.shape) < 0.3, -1, 1)
    return matrix(dense.tolist())


def learned(name: str, histories: csr_array, **settings: object) -> Trainable | ClosedFormRecommender:
    """A small model that is solved, or has taken one step."""
    torch.manual_seed(0)
    model = catalog.create(name, N_ITEMS, replace(SMALL[name], **settings))  # type: ignore[type-var]
    if isinstance(model, ClosedFormRecommender):
        model.fit(histories)
        return model
    assert isinstance(model, Trainable)
    model.begin_epoch(0)
    model.loss(model.examples(histories), Objective(0.1, torch.Generator().manual_seed(0))).total.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.05 * parameter.grad)
    return model


@pytest.mark.parametrize("weights", ["binary", "log", "value"])
def test_nothing_but_empty_histories_stay_empty(weights: str) -> None:
    nothing = csr_array((2, 3), dtype=np.float32)
    found = weighed(nothing, weights, 0.5)
    assert (found.shape, found.nnz, found.dtype) == ((2, 3), 0, np.dtype(np.float32))


def test_weights_by_hand() -> None:
    histories = matrix([[1, 3, 0, -2], [0, 0, 5, 0]])
    binary = weighed(histories, "binary", 0.5).toarray()
    np.testing.assert_array_equal(binary, [[1, 1, 0, -0.5], [0, 0, 1, 0]])
    value = weighed(histories, "value", 0.25).toarray()
    np.testing.assert_allclose(value, [[0.5, 1.5, 0, -0.25], [0, 0, 1, 0]])
    logs = (np.log([2, 4]) / np.log([2, 4]).mean()).tolist()
    log = weighed(histories, "log", 1.0).toarray()
    np.testing.assert_allclose(log, np.array([[*logs, 0, -1], [0, 0, 1, 0]]), rtol=1e-6)


@pytest.mark.parametrize("weights", ["binary", "log", "value"])
def test_a_user_counts_for_as_many_items_whatever_the_unit(weights: str) -> None:
    found = weighed(world(), weights)
    np.testing.assert_allclose(found.sum(axis=1), np.diff(world().indptr), rtol=1e-5)
    if weights == "value":
        np.testing.assert_allclose(found.data, weighed(world() * np.float32(60), "value").data, rtol=1e-6)


def test_nothing_is_copied_where_yes_or_no_counts() -> None:
    histories = world()
    assert np.shares_memory(PLAIN.inputs(histories).indices, histories.indices)
    assert (PLAIN.inputs(histories).data == 1).all()
    assert options_of(object()) is PLAIN


def test_inputs_and_targets_may_be_set_apart() -> None:
    options = SignedOptions(weights="log", input_weights="binary", dislikes=0.5)
    assert (options.shown, options.wanted, options.is_plain) == ("binary", "log", False)
    histories = matrix([[4, 1, -1]])
    np.testing.assert_array_equal(options.inputs(histories).toarray(), [[1, 1, -0.5]])
    assert options.targets(histories, dislikes=False).nnz == 2
    assert options.targets(histories, dislikes=True).toarray()[0, 2] == -0.5
    np.testing.assert_array_equal(options.unwanted(histories).toarray(), [[0, 0, 0.5]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "tfidf"}, "weights are binary, log, value"),
        ({"weights": ""}, "weights are binary"),
        ({"target_weights": "count"}, "target_weights='count'"),
        ({"dislikes": -1.0}, "a number from 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        catalog.configure("ease", settings)


@pytest.mark.parametrize("name", SIGNED)
def test_signed_histories_are_taken_where_dislikes_count_and_nowhere_else(name: str) -> None:
    plain = learned(name, world())
    assert not takes_dislikes(plain)
    with pytest.raises(DataError, match="weights <= 0"):
        plain.score(world(signed=True))
    assert takes_dislikes(learned(name, world(signed=True), dislikes=0.5))


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_numbers_do_not_matter_to_a_binary_model(name: str) -> None:
    one, other = learned(name, world()), learned(name, csr_array(world() != 0).astype(np.float32))
    assert (one.score(world()) == other.score(csr_array(world() != 0).astype(np.float32))).all()


@pytest.mark.parametrize("name", WITH_WEIGHTS)
@pytest.mark.parametrize("setting", ["weights", "input_weights", "target_weights"])
def test_weights_matter_in_inputs_and_in_targets(name: str, setting: str) -> None:
    plain, weighted = learned(name, world()), learned(name, world(), **{setting: "value"})
    assert not np.allclose(plain.score(world()), weighted.score(world()), atol=1e-6)


@pytest.mark.parametrize("name", SIGNED)
def test_dislikes_matter_in_what_is_learned_and_in_what_is_asked(name: str) -> None:
    histories = world(signed=True)
    some, more = learned(name, histories, dislikes=0.5), learned(name, histories, dislikes=1.0)
    assert not np.allclose(some.score(histories), more.score(histories), atol=1e-6)
    without = shown_to(learned(name, world()), histories)
    assert without.data.min() > 0
    assert not np.allclose(some.score(histories), some.score(without), atol=1e-6)


@pytest.mark.parametrize("name", SIGNED)
def test_signed_scores_are_inner_products_and_finite_for_nothing_but_dislikes(name: str) -> None:
    model = learned(name, world(signed=True), dislikes=0.5, weights="log")
    histories = matrix([[-1] + [0] * (N_ITEMS - 1), [2] + [0] * (N_ITEMS - 2) + [-3]])
    scores = model.score(histories)
    assert np.isfinite(scores).all()
    if isinstance(model, FactorizedRecommender):
        np.testing.assert_allclose(model.encode(histories) @ model.item_vectors().T, scores, rtol=1e-5, atol=1e-5)


def test_ease_with_targets_of_their_own_is_the_least_squares_solution() -> None:
    histories, l2 = world(), 3.0
    model = EASE(N_ITEMS, EASEConfig(l2=l2, input_weights="log", target_weights="value"))
    model.fit(histories)
    inputs, targets = weighed(histories, "log").toarray(), weighed(histories, "value").toarray()
    for item in range(N_ITEMS):
        others = np.delete(np.arange(N_ITEMS), item)
        X = inputs[:, others].astype(np.float64)
        column = np.linalg.solve(X.T @ X + l2 * np.eye(N_ITEMS - 1), X.T @ targets[:, item])
        np.testing.assert_allclose(model.tensors()["weights"][others, item], column, atol=1e-5)
        assert model.tensors()["weights"][item, item] == 0


@pytest.mark.parametrize("settings", [{"weights": "value"}, {"dislikes": 0.7}, {"weights": "log", "dislikes": 0.2}])
def test_ease_is_the_least_squares_solution(settings: dict[str, object]) -> None:
    histories = world(signed="dislikes" in settings)
    config = EASEConfig(l2=2.0, **settings)  # type: ignore[arg-type]
    model = EASE(N_ITEMS, config)
    model.fit(histories)
    X = config.inputs(histories).toarray().astype(np.float64)
    others = np.arange(1, N_ITEMS)
    column = np.linalg.solve(X[:, 1:].T @ X[:, 1:] + 2.0 * np.eye(N_ITEMS - 1), X[:, 1:].T @ X[:, 0])
    np.testing.assert_allclose(model.tensors()["weights"][others, 0], column, atol=1e-5)
    np.testing.assert_allclose(model.score(histories), X @ model.tensors()["weights"], rtol=1e-4, atol=1e-5)


def test_elsa_by_hand() -> None:
    """The loss of one user, x shown and t predicted: the dense formula of the docstring."""
    torch.manual_seed(0)
    model = ELSA(4, ELSAConfig(factors=3, input_weights="binary", target_weights="value", dislikes=0.5))
    histories = matrix([[1, 3, 0, -2]])
    x, t = torch.tensor([1, 1, 0, -0.5]), torch.tensor([0.5, 1.5, 0, -0.5])
    A = model.factors()
    y = x @ (A @ A.T - torch.eye(4))
    expected = (t / t.norm() - y / y.norm()).square().sum()
    found = model.loss(model.examples(histories), Objective(0.0)).total
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_graph_counts_weights_and_a_history_is_filtered_by_its_own() -> None:
    """Two users and three items, everything else left out: P = R~^T R~ over its largest eigenvalue."""
    histories = matrix([[1, 3, 0], [0, 2, 2]])
    model = GraphFilter(3, GraphFilterConfig(rank=1, low_pass=0.0, weights="value"))
    model.fit(histories)
    R = np.array([[0.5, 1.5, 0], [0, 1, 1]])
    normalised = R / np.sqrt(2) / np.sqrt(R.sum(axis=0))
    P = normalised.T @ normalised
    P /= np.linalg.eigvalsh(P)[-1]
    np.testing.assert_allclose(model.score(histories), R @ P, rtol=1e-5)


def test_a_part_of_a_blend_that_takes_no_dislikes_is_shown_none() -> None:
    config = replace(SMALL["blend"], linear=Part("ease", EASE, EASEConfig(l2=1.0, dislikes=0.5)))  # type: ignore[type-var]
    blend = catalog.create("blend", N_ITEMS, config)
    assert isinstance(blend, Blend)
    blend.linear.fit(world(signed=True))
    assert takes_dislikes(blend)
    assert not takes_dislikes(blend.autoencoder)
    assert np.isfinite(blend.score(world(signed=True))).all()
    autoencoder = Part("mult-vae", MultVAE, MultVAEConfig(hidden=8, latent=4, dislikes=0.5))
    both = replace(config, autoencoder=autoencoder)  # type: ignore[type-var]
    assert takes_dislikes(catalog.create("blend", N_ITEMS, both))


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_settings_of_before_still_configure_a_model(name: str) -> None:
    """Bundles from before weights name none of these settings."""
    described = catalog.described(SMALL[name])
    kept = {key: value for key, value in described.items() if "weights" not in key and key != "dislikes"}
    assert catalog.configure(name, kept) == SMALL[name]

import numpy as np
import pytest
import torch
from torch.nn import functional

from recsys_vae.errors import ConfigError
from recsys_vae.models.elsa import ELSA, ELSAConfig
from recsys_vae.nn.objective import Objective
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from tests.worlds import csr, two_tastes

STEP = Objective(kl_weight=0.0)
HISTORIES = csr([[0, 1], [7], [2, 3, 4, 8], [0, 5, 9]], 12)


def fresh(n_items: int = 12, factors: int = 5) -> ELSA:
    torch.manual_seed(0)
    return ELSA(n_items, ELSAConfig(factors))


def as_published(model: ELSA, histories: torch.Tensor) -> torch.Tensor:
    """Predictions and loss on dense arrays, step by step as the paper has them."""
    factors = functional.normalize(model.weight, dim=-1)
    predictions = histories @ factors @ factors.T - histories
    difference = functional.normalize(predictions, dim=-1) - functional.normalize(histories, dim=-1)
    return difference.square().sum(dim=1).mean()


def test_loss_and_gradient_are_those_of_the_dense_formula() -> None:
    model = fresh()
    loss = model.loss(SparseRows.from_csr(HISTORIES), STEP).total
    expected = as_published(model, torch.from_numpy(HISTORIES.toarray()))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (ours,) = torch.autograd.grad(loss, model.weight)
    (theirs,) = torch.autograd.grad(expected, model.weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_loss_of_two_items_by_hand() -> None:
    model = fresh(n_items=2, factors=1)
    for weights, expected in (([[3.0], [0.5]], [0.0, 2.0]), ([[3.0], [-0.5]], [4.0, 2.0])):
        model.weight.data = torch.tensor(weights)  # both items alike, then opposite
        losses = [model.loss(SparseRows.from_csr(csr([items], 2)), STEP).total.item() for items in ([0, 1], [0])]
        assert losses == pytest.approx(expected)


def test_a_doubled_batch_leaves_the_loss_unchanged() -> None:
    model = fresh()
    once, twice = (model.loss(SparseRows.from_csr(csr([[0, 1], [7]] * n, 12)), STEP).total.item() for n in (1, 2))
    assert once == pytest.approx(twice)


def test_an_empty_history_gives_a_finite_loss_and_gradient() -> None:
    model = fresh()
    model.loss(SparseRows.from_csr(csr([[], [1, 2]], 12)), STEP).total.backward()
    assert model.weight.grad is not None
    assert torch.isfinite(model.weight.grad).all()


def test_bfloat16_leaves_the_loss_in_float32() -> None:
    model = fresh()
    rows = SparseRows.from_csr(HISTORIES)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = model.loss(rows, STEP).total
    assert reduced.dtype == torch.float32
    assert reduced.item() == model.loss(rows, STEP).total.item()


def test_scores_of_unseen_items_are_those_of_the_paper() -> None:
    model = fresh()
    factors = functional.normalize(model.weight, dim=-1).detach().numpy()
    np.testing.assert_allclose(np.linalg.norm(factors, axis=1), 1, rtol=1e-6)
    dense = HISTORIES.toarray()
    published = dense @ factors @ factors.T - dense
    unseen = dense == 0
    np.testing.assert_allclose(model.score(HISTORIES)[unseen], published[unseen], rtol=1e-5, atol=1e-6)


def test_learns_which_half_of_the_catalogue_a_user_likes() -> None:
    world = two_tastes()
    model = fresh()
    config = TrainingConfig(epochs=30, batch_size=8, learning_rate=0.05, device="cpu", precision="float32")
    result = train(model, world.matrix, config)
    best = model.score(world.matrix).argsort(axis=1)[:, -6:]
    assert ((best >= 6) == (np.arange(40) % 2)[:, None]).mean() > 0.95
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.history[-1]["kl"] == 0


def test_a_model_without_factors_is_refused() -> None:
    with pytest.raises(ConfigError, match="factors"):
        ELSAConfig(0)

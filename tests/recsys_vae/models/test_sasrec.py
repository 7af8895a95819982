from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.sasrec import SASRec, SASRecConfig
from recsys_vae.models.svae import SVAE, SVAEConfig
from recsys_vae.nn.objective import Objective
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from tests.worlds import SMALL, csr

N_ITEMS = 10
TRAINING = TrainingConfig(epochs=12, batch_size=16, learning_rate=0.02, device="cpu", precision="float32")


def cycles(n_users: int = 48) -> tuple[csr_array, csr_array]:
    """Users go round the items in steps of 1 or of 3: only the order tells which item comes next."""
    rows = [[(user + step * (1 + 2 * (user % 2))) % N_ITEMS for step in range(6)] for user in range(n_users)]
    histories = csr(rows, N_ITEMS)
    order = csr([[] for _ in rows], N_ITEMS).tolil()
    for user, items in enumerate(rows):
        order[user, items] = np.arange(1, 7)
    found = csr_array(order, dtype=np.float32)
    found.sort_indices()
    return histories, found


def hits(model: SASRec | SVAE) -> float:
    """Share of the users whose next item comes first."""
    histories, order = cycles()
    scores = np.where(histories.toarray() > 0, -np.inf, model.score(histories, order=order))
    wanted = [(user + 6 * (1 + 2 * (user % 2))) % N_ITEMS for user in range(48)]
    return float((scores.argmax(axis=1) == wanted).mean())


@pytest.mark.parametrize(
    "config",
    [
        SASRecConfig(width=16, blocks=1, length=5, dropout=0.0),
        SASRecConfig(width=16, blocks=1, length=5, dropout=0.0, places="learned"),
        SASRecConfig(width=16, blocks=1, length=5, dropout=0.0, loss="gbce", gbce_negatives=8),
    ],
)
def test_sasrec_learns_what_only_order_tells(config: SASRecConfig) -> None:
    torch.manual_seed(0)
    model = SASRec(N_ITEMS, config)
    histories, order = cycles()
    epochs = 12 if config.loss == "softmax" else 40
    train(model, histories, replace(TRAINING, epochs=epochs), order=order)
    assert hits(model) > 0.9


def test_svae_learns_what_only_order_tells() -> None:
    torch.manual_seed(0)
    config = SVAEConfig(embedding=16, recurrent=24, hidden=16, latent=8, ahead=1, length=5, dropout=0.0)
    model = SVAE(N_ITEMS, config)
    histories, order = cycles()
    train(model, histories, replace(TRAINING, epochs=30, kl_weight=0.01), order=order)
    assert hits(model) > 0.9


def test_nothing_that_comes_later_is_seen() -> None:
    """The loss over a history is the sum of what each item costs after those before it."""
    torch.manual_seed(0)
    model = SASRec(N_ITEMS, SASRecConfig(width=8, blocks=2, heads=2, length=9, dropout=0.0))
    items = [4, 1, 7]
    rows = SparseRows(torch.tensor(items), torch.tensor([0, 3]), torch.ones(3))
    expected = 0.0
    for place, item in enumerate(items):
        order = csr([items[:place]], N_ITEMS)
        order.data = np.array([items.index(one) + 1 for one in order.indices], np.float32)
        scores = torch.from_numpy(model.score(csr([items[:place]], N_ITEMS), order=order))
        expected -= float(torch.log_softmax(scores, dim=1)[0, item])
    assert float(model.loss(rows, Objective(0.0)).nll) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["sasrec", "svae"])
def test_a_batch_twice_costs_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = (SASRec if name == "sasrec" else SVAE)(N_ITEMS, SMALL[name])  # type: ignore[arg-type]
    once = SparseRows(torch.tensor([4, 1, 7, 2, 5]), torch.tensor([0, 4, 5]), torch.ones(5))
    twice = SparseRows(once.indices.repeat(2), torch.tensor([0, 4, 5, 9, 10]), torch.ones(10))
    first, second = (model.loss(rows, Objective(0.0)) for rows in (once, twice))
    assert float(second.kl) == pytest.approx(float(first.kl), rel=1e-5)
    if name == "sasrec":  # the other draws its code
        assert float(second.total.detach()) == pytest.approx(float(first.total.detach()), rel=1e-5)


def test_training_needs_an_order() -> None:
    with pytest.raises(DataError, match="goes by the order"):
        train(SASRec(N_ITEMS, SMALL["sasrec"]), cycles()[0], TRAINING)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "told",
    [{"width": 10, "heads": 4}, {"length": 0}, {"places": "none"}, {"loss": "bce"}, {"gbce_calibration": 2.0},
     {"dropout": 1.0}],
)  # fmt: skip
def test_settings_out_of_their_range_are_refused(told: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SASRecConfig(**told)  # type: ignore[arg-type]

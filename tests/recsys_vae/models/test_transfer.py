import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models import catalog
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.h_vamp import HVamp, HVampConfig
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.transfer import item_axes, neighbour_shares, transfer
from recsys_vae.protocols import takes_order
from tests.worlds import SMALL, csr, scores

TRAINABLE = [name for name, entry in catalog.CATALOG.items() if issubclass(entry.model, Trainable)]
HISTORIES = [[0, 1], [2], [], [1, 3, 4]]


def made(name: str, n_items: int, seed: int = 0) -> Trainable:
    torch.manual_seed(seed)
    model = catalog.create(name, n_items, SMALL[name])
    assert isinstance(model, Trainable)
    return model


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_catalogue_in_another_order_gives_the_same_scores(name: str) -> None:
    parent, model, order = made(name, 5), made(name, 5, seed=1), np.array([3, 0, 4, 2, 1])
    transfer(parent, model, order, csr([[0, 1]], 5))
    moved = csr([[int(np.flatnonzero(order == item)[0]) for item in items] for items in HISTORIES], 5)
    expected = scores(parent, csr(HISTORIES, 5))[:, order]
    if takes_order(model):  # each item keeps its place, whatever its row
        places = csr_array(
            (order[moved.indices].astype(np.float32) + 1, moved.indices, moved.indptr), shape=moved.shape
        )
        assert model.score(moved, order=places) == pytest.approx(expected, abs=1e-6)
    else:
        assert model.score(moved) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", TRAINABLE)
def test_items_that_are_gone_leave_the_scores_of_the_others_as_they_were(name: str) -> None:
    parent, model, kept = made(name, 5), made(name, 3), np.array([0, 1, 3])
    transfer(parent, model, kept, csr([[0, 1]], 3))
    assert scores(model, csr([[0, 2]], 3)) == pytest.approx(scores(parent, csr([[0, 3]], 5))[:, kept], abs=1e-6)


def test_every_tensor_with_a_row_an_item_is_found_even_where_another_is_as_long() -> None:
    model = HVamp(8, HVampConfig(hidden=8, latent=4, pseudo_inputs=8, pseudo_histories=True))
    assert item_axes(model) == {
        "output.weight": 0, "output.bias": 0, "upper_in.weight": 0, "lower_in.weight": 0, "pseudo_inputs": 1
    }  # fmt: skip


def test_a_new_item_is_made_of_its_neighbours_by_cosine() -> None:
    # item 2 is new: with item 0 it shares two users of four, with item 1 one user of one
    together = csr([[0, 2], [0, 2], [0], [0], [1, 2], [3]], 4)
    shares = neighbour_shares(together, np.array([False, False, True, False]), 50)
    assert shares.toarray() == pytest.approx(np.array([[1 / 2, 1 / 2, 0]]))  # 2 / sqrt(4 n) and 1 / sqrt(1 n)
    one = neighbour_shares(together, np.array([False, False, True, False]), 1)
    assert one.toarray().tolist() == [[1, 0, 0]]


def test_new_items_begin_at_the_mean_of_their_neighbours_and_of_all_without_any() -> None:
    torch.manual_seed(0)
    config = MultDAEConfig(hidden=8, l2=0.0)
    parent, model = MultDAE(3, config), MultDAE(5, config)
    transfer(parent, model, np.array([0, 1, 2, -1, -1]), csr([[0, 3], [1, 3], [2], [4]], 5))
    old, new = parent.tensors(), model.tensors()
    for table in ("encoder.weight", "output.weight"):
        assert new[table][:3] == pytest.approx(old[table])
        assert new[table][3] == pytest.approx(old[table][:2].mean(axis=0), abs=1e-6)
        assert new[table][4] == pytest.approx(old[table].mean(axis=0), abs=1e-6)


def test_new_items_begin_where_their_content_says() -> None:
    torch.manual_seed(0)
    config = MultVAEConfig(hidden=8, latent=4)
    parent, model = MultVAE(40, config), MultVAE(42, config)
    genres = csr([[item % 2] for item in range(40)] + [[0], [1]], 2)
    users = csr([list(range(42))] * 30, 42)
    transfer(parent, model, np.array([*range(40), -1, -1]), users, content=genres)
    table, old = model.output.weight.detach().numpy(), parent.output.weight.detach().numpy()
    for new, genre in ((40, 0), (41, 1)):
        distances = [np.linalg.norm(table[new] - old[kind::2].mean(axis=0)) for kind in (0, 1)]
        assert np.argmin(distances) == genre


def test_a_new_item_is_as_likely_as_others_of_its_popularity() -> None:
    torch.manual_seed(0)
    config = MultVAEConfig(hidden=8, latent=4)
    parent, model = MultVAE(6, config), MultVAE(8, config)
    with torch.no_grad():
        parent.output.weight.zero_()
        parent.output.bias.copy_(torch.log(torch.tensor([8.0, 8, 4, 4, 2, 1])))
    # items 6 and 7 are new, with 4 users and with 1
    columns = [[u for u in range(8) if u < n] for n in (8, 8, 4, 4, 2, 1, 4, 1)]
    users = csr([[item for item, those in enumerate(columns) if user in those] for user in range(8)], 8)
    transfer(parent, model, np.array([0, 1, 2, 3, 4, 5, -1, -1]), users)
    assert model.output.bias[6:].detach().numpy() == pytest.approx(np.log([4, 1]), abs=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    config = MultVAEConfig(hidden=8, latent=4)
    parent, model, world = MultVAE(3, config), MultVAE(3, config), csr([[0, 1]], 3)
    with pytest.raises(ConfigError, match="one configuration"):
        transfer(MultVAE(3, MultVAEConfig(hidden=9, latent=4)), model, np.arange(3), world)
    with pytest.raises(DataError, match="row below 3"):
        transfer(parent, model, np.arange(4), world)
    with pytest.raises(DataError, match="no item in common"):
        transfer(parent, model, np.full(3, -1), world)
    with pytest.raises(DataError, match="another catalogue"):
        transfer(parent, model, np.arange(3), csr([[0]], 4))
    with pytest.raises(DataError, match="nothing to learn"):
        transfer(parent, model, np.arange(3), csr([[]], 3))


def test_the_output_of_a_model_without_new_items_is_left_alone() -> None:
    parent, model = made("mult-vae", 4), made("mult-vae", 4, seed=1)
    assert isinstance(parent, Autoencoder)
    assert isinstance(model, Autoencoder)
    transfer(parent, model, np.arange(4), csr([[0, 1]], 4))
    assert (model.item_vectors() == parent.item_vectors()).all()

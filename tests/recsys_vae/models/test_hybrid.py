from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.errors import CheckpointError, ConfigError, DataError
from recsys_vae.models import catalog
from recsys_vae.models.hybrid import HybridLinear, fold_content, take_content, with_gaps
from recsys_vae.models.mult_vae import MultVAE
from recsys_vae.models.rec_vae import RecVAE
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from tests.worlds import csr, two_tastes

WORLD = two_tastes()
SIDES = csr([[user % 2] for user in range(WORLD.n_users)], 3)
GENRES = csr([[item // 6] for item in range(11)] + [[]], 2)
TRAINING = TrainingConfig(epochs=8, batch_size=20, learning_rate=0.01, patience=0, device="cpu", precision="float32")
HISTORIES = csr([[0, 1], [7], [], [11]], 12)
Hybrid = MultVAE | RecVAE


@pytest.fixture(params=["mult-vae", "rec-vae"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fresh(name: str, **options: Any) -> Hybrid:
    torch.manual_seed(0)
    model = catalog.create(name, 12, catalog.configure(name, {"hidden": 16, "latent": 4, **options}))
    assert isinstance(model, MultVAE | RecVAE)
    return model


def trained(model: Hybrid, config: TrainingConfig = TRAINING, **given: Any) -> Hybrid:
    train(model, WORLD.matrix, config, **given)
    return model


def both(name: str) -> Hybrid:
    model = fresh(name, user_metadata=True, item_metadata=True, metadata=(2, 1))
    return trained(model, metadata=SIDES, item_metadata=GENRES)


def test_without_features_the_layer_draws_and_computes_what_a_plain_one_does() -> None:
    torch.manual_seed(0)
    plain = SparseLinear(12, 4)
    torch.manual_seed(0)
    hybrid, rows = HybridLinear(12, 4), SparseRows.from_csr(HISTORIES, metadata=csr([[0], [], [], []], 3))
    assert hybrid.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(hybrid(rows), plain(rows))


def test_a_model_that_takes_none_learns_the_same_whether_metadata_are_there(name: str) -> None:
    plain, told = trained(fresh(name)).tensors(), trained(fresh(name), metadata=SIDES).tensors()
    assert plain.keys() == told.keys()
    assert all((plain[key] == told[key]).all() for key in plain)
    assert catalog.settings_of(fresh(name))["user_metadata"] is False


def test_rows_go_through_a_table() -> None:
    table = csr_array(np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0]], dtype=np.float32))
    rows = csr_array(np.array([[0.5, 1, 0], [0, 0, 0], [0, 2, 2]], dtype=np.float32))
    found = SparseRows.from_csr(rows).through(SparseRows.from_csr(table))
    dense = torch.zeros(3, 3)
    dense.index_put_((found.row_numbers(), found.indices), found.values, accumulate=True)
    assert dense.tolist() == (rows @ table).toarray().tolist()


def test_metadata_change_the_answer_and_missing_or_unseen_ones_are_none(name: str) -> None:
    model = both(name)
    told = model.score(HISTORIES, csr([[0, 2], [1], [0], []], 3))
    without = model.score(HISTORIES)
    assert (np.abs(told[:3] - without[:3]).max(axis=1) > 1e-3).all()
    np.testing.assert_allclose(told[3], without[3], rtol=1e-6)
    with pytest.raises(DataError, match=r"expected \(4, 3\)"):
        model.score(HISTORIES, csr([[]] * 4, 2))


def test_scores_with_metadata_are_inner_products_too(name: str) -> None:
    model, known = both(name), csr([[0], [1], [], [0, 1]], 3)
    products = model.encode(HISTORIES, known) @ model.item_vectors().T
    np.testing.assert_allclose(products, model.score(HISTORIES, known), rtol=1e-5, atol=1e-6)


def test_metadata_of_items_are_learned_and_then_part_of_their_rows(name: str) -> None:
    model = fresh(name, item_metadata=True)
    take_content(model, GENRES, 12, torch.device("cpu"))
    layer = next(layer for layer in model.modules() if isinstance(layer, HybridLinear))
    assert layer.of_items is not None
    torch.nn.init.normal_(layer.of_items.weight, generator=torch.Generator().manual_seed(0))
    before, unfolded = layer.weight[11].clone(), layer(SparseRows.from_csr(HISTORIES))
    fold_content(model)
    assert layer.of_items is None
    torch.testing.assert_close(layer(SparseRows.from_csr(HISTORIES)), unfolded)
    assert torch.equal(layer.weight[11], before)  # an item without metadata


def test_training_teaches_what_features_say(name: str) -> None:
    with_genres = trained(fresh(name, item_metadata=True), item_metadata=GENRES).tensors()
    without = trained(fresh(name)).tensors()
    assert with_genres.keys() == without.keys()
    assert any((with_genres[key] != without[key]).any() for key in without)


def test_weights_are_kept_and_carried_over(name: str) -> None:
    model, known = both(name), csr([[0], [1], [0], [2]], 3)
    other = fresh(name, user_metadata=True, item_metadata=True, metadata=(2, 1))
    other.load_tensors(model.tensors())
    assert (other.score(HISTORIES, known) == model.score(HISTORIES, known)).all()
    with pytest.raises(DataError):
        fresh(name).load_tensors(model.tensors())


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    given = {"metadata": SIDES, "item_metadata": GENRES}
    options = {"user_metadata": True, "item_metadata": True, "metadata": (2, 1)}
    checkpoint = tmp_path / "run.safetensors"
    trained(fresh(name, **options), stop_after=3, checkpoint=checkpoint, **given)
    with pytest.raises(CheckpointError, match="other settings, model or data"):
        trained(fresh(name, **options), checkpoint=checkpoint, resume=True, **given)
    whole, again = both(name), trained(fresh(name, **options), checkpoint=tmp_path / "new.safetensors", **given)
    resumed = trained(fresh(name, **options), checkpoint=tmp_path / "new.safetensors", resume=True, **given)
    for key, value in whole.tensors().items():
        assert (value == again.tensors()[key]).all()
        assert (value == resumed.tensors()[key]).all()


@pytest.mark.parametrize("rate", [0.0, 0.99])
def test_fields_go_missing_in_training_as_wholes(rate: float) -> None:
    known = SparseRows.from_csr(csr([[0, 1, 2]] * 200, 3))
    rows = replace(SparseRows.empty(200), metadata=known)
    left = with_gaps(rows, (2, 1), rate, torch.Generator().manual_seed(0)).metadata
    assert left is not None
    if rate == 0.0:
        assert len(left.indices) == 600
    else:
        assert len(left.indices) < 30
    # the two columns of the first field stay or go together
    assert {int(n) for n in np.bincount(left.row_numbers(), weights=left.indices < 2)} <= {0, 2}


def test_content_of_another_catalogue_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="one row a history"):
        trained(fresh(name, item_metadata=True), item_metadata=csr([[0]], 2))


@pytest.mark.parametrize("wrong", [{"metadata": (-1,)}, {"metadata_dropout": 1.0}])
def test_settings_out_of_range_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="metadata_dropout"):
        catalog.entry(name).config(**wrong)

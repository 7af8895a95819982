from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recsys_vae.errors import ConfigError, ModelError
from recsys_vae.images.models import catalog
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.saved import Origin, load_image_model, save_image_model
from tests.recsys_vae.images.small import SHAPE, SMALL, images, untrained

NAMES = ("vq-vae", "vq-vae-2")


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> VectorQuantized:
    made = untrained(request.param)
    assert isinstance(made, VectorQuantized)
    return made


def test_grids_of_codes(model: VectorQuantized) -> None:
    grids = {"vq-vae": ((2, 2),), "vq-vae-2": ((1, 1), (2, 2))}
    assert model.layout.grids == grids[catalog.name_of(model)]
    assert model.codes(images(5)).shape == (5, model.layout.length)


def test_an_odd_fine_grid_has_a_coarse_one_rounded_up() -> None:
    model = catalog.create("vq-vae-2", (1, 11, 20), SMALL["vq-vae-2"])
    assert model.layout.grids == ((2, 3), (3, 5))
    assert model(torch.rand(2, 1, 11, 20)).shape == (2, 1, 11, 20)


def test_decoding_the_codes_is_the_reconstruction(model: VectorQuantized) -> None:
    x = images()
    torch.testing.assert_close(model.decode_codes(model.codes(x)), model(x))


def test_only_the_loss_in_training_mode_moves_the_codebooks(model: VectorQuantized) -> None:
    x, codebook = images(), model.quantizers[0].codebook
    before = codebook.clone()
    model(x), model.encode(x), model.codes(x), model.eval().loss(x)
    assert torch.equal(codebook, before)
    model.train().loss(x)
    assert not torch.equal(codebook, before)


def test_training_lowers_the_loss(model: VectorQuantized) -> None:
    x = images(16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.loss(x)  # starts the codebooks
    first = model.eval().loss(x).reconstruction.item()
    for _ in range(25):
        optimizer.zero_grad()
        model.train().loss(x).total.backward()
        optimizer.step()
    assert model.eval().loss(x).reconstruction.item() < first - 2.0


def test_use_and_perplexity_are_watched_from_the_epoch_s_beginning(model: VectorQuantized) -> None:
    assert model.watch(images()) == {}
    model.begin_epoch(0)
    model.loss(images())
    watched = model.watch(images())
    assert len(watched) == 2 * len(model.quantizers)
    assert all(0 < value <= 8 for value in watched.values())


def test_sampling_without_a_fitted_prior_says_what_to_fit(model: VectorQuantized) -> None:
    with pytest.raises(ModelError, match="fit-prior"):
        model.sample(2)
    model.add_prior("transformer", prior_width=8, prior_layers=1)
    with pytest.raises(ModelError, match="fit_prior"):
        model.sample(2)


@pytest.mark.parametrize("kind", ["pixelcnn", "transformer"])
def test_a_saved_model_carries_its_prior(model: VectorQuantized, kind: str, tmp_path: Path) -> None:
    model.add_prior(kind, prior_width=8, prior_layers=1, prior_heads=2, classes=3).fitted.fill_(True)
    save_image_model(tmp_path / "model", model.eval(), Origin())
    loaded = load_image_model(tmp_path / "model").model
    y = torch.tensor([0, 1, 2, 2])
    drawn = model.sample(4, y, torch.Generator().manual_seed(0))
    assert torch.equal(loaded.sample(4, y, torch.Generator().manual_seed(0)), drawn)
    assert drawn.shape == (4, *SHAPE)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1


def test_a_prior_to_add_has_a_kind(model: VectorQuantized) -> None:
    with pytest.raises(ConfigError, match="got none"):
        model.add_prior("none")


def test_an_image_too_small_for_the_grids_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be halved 4 times"):
        catalog.create("vq-vae-2", SHAPE, replace(SMALL["vq-vae-2"], halvings=4))

import math
from dataclasses import replace

import pytest
import torch

from recsys_vae.errors import ModelError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.layers.quantizer import codebook_use, perplexity
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.models.vq_vae import VQVAE, VQVAEConfig
from recsys_vae.images.training.code_prior import fit_prior
from recsys_vae.images.training.code_set import CodeSet
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import train_images

CONFIG = ImageTrainingConfig(epochs=10, batch_size=32, learning_rate=0.02)


@pytest.fixture
def images() -> ImageSet:
    """Squares that are dark or bright: two kinds of image, so that few of the possible codes occur."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (96,), generator=generator)
    noise = 0.05 * torch.rand(96, 1, 8, 8, generator=generator)
    return ImageSet(y[:, None, None, None] * 0.9 + noise, y)


@pytest.fixture
def model(images: ImageSet) -> VectorQuantized:
    torch.manual_seed(0)
    model = VQVAE((1, 8, 8), VQVAEConfig(codes=4, width=2, channels=4, blocks=0, decay=0.8))
    train_images(model, images, CONFIG)
    return model


def test_a_fitted_prior_knows_which_codes_occur(model: VectorQuantized, images: ImageSet) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prior = model.add_prior("pixelcnn", prior_width=8, prior_layers=1, classes=2)
    result = fit_prior(model, images, CONFIG, validation=images)
    codes = CodeSet.of(model, images)
    nats = -prior.log_prob(codes.codes, codes.y).mean().item()
    assert nats == pytest.approx(result.validation_loss, rel=1e-4)
    assert nats < 0.5 * model.layout.length * math.log(4)
    assert result.pixels == "grayscale"
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_samples_of_a_class_look_like_it(model: VectorQuantized, images: ImageSet) -> None:
    model.add_prior("transformer", prior_width=8, prior_layers=1, classes=2)
    fit_prior(model, images, CONFIG)
    y = torch.tensor([0, 1]).repeat(20)
    means = model.sample(40, y, torch.Generator().manual_seed(0)).mean(dim=(1, 2, 3))
    assert means[y == 1].mean() > 0.6
    assert means[y == 0].mean() < 0.4


def test_a_model_without_a_prior_has_none_to_fit(model: VectorQuantized, images: ImageSet) -> None:
    with pytest.raises(ModelError, match="add one first"):
        fit_prior(model, images, CONFIG)


def test_the_record_of_an_epoch_tells_use_and_perplexity_over_it(images: ImageSet) -> None:
    torch.manual_seed(0)
    model = VQVAE((1, 8, 8), VQVAEConfig(codes=4, width=2, channels=4, blocks=0))
    record = train_images(model, images, replace(CONFIG, epochs=1)).history[0]
    usage = model.quantizers[0].usage
    assert usage.sum() == len(images) * model.layout.length
    assert (record["codebook_use"], record["perplexity"]) == (codebook_use(usage), perplexity(usage))

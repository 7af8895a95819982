"""A small configuration of every image model, and small images, for the tests."""

from typing import Any

import torch
from torch import Tensor

from recsys_vae.images.models import catalog
from recsys_vae.images.models.autoencoder import AutoencoderConfig
from recsys_vae.images.models.beta_vae import BetaVAEConfig
from recsys_vae.images.models.categorical_vae import CategoricalVAEConfig
from recsys_vae.images.models.conditional_vae import ConditionalVAEConfig
from recsys_vae.images.models.conv_ae import ConvAutoencoderConfig
from recsys_vae.images.models.conv_vae import ConvVAEConfig
from recsys_vae.images.models.denoising_ae import DenoisingAutoencoderConfig
from recsys_vae.images.models.pixelcnn_vae import PixelCNNVAEConfig
from recsys_vae.images.models.sparse_ae import SparseAutoencoderConfig
from recsys_vae.images.models.vae import VAEConfig
from recsys_vae.images.models.vq_vae import VQVAEConfig
from recsys_vae.images.models.vq_vae2 import VQVAE2Config
from recsys_vae.images.protocol import ImageModule

SHAPE = (1, 8, 8)

SMALL: dict[str, Any] = {
    "ae": AutoencoderConfig(hidden="16", latent=4),
    "vae": VAEConfig(hidden="16", latent=4),
    "conv-vae": ConvVAEConfig(channels=2, latent=4),
    "beta-vae": BetaVAEConfig(hidden="16", latent=4),
    "conditional-vae": ConditionalVAEConfig(hidden="16", latent=4, classes=3),
    "categorical-vae": CategoricalVAEConfig(hidden="16", latent=3, categories=4),
    "pixelcnn-vae": PixelCNNVAEConfig(hidden=16, latent=4, width=4, decoder_layers=2),
    "conv-ae": ConvAutoencoderConfig(channels=4, residual_blocks=1, latent=4),
    "denoising-ae": DenoisingAutoencoderConfig(channels=4, latent=4),
    "sparse-ae": SparseAutoencoderConfig(latent=6),
    "vq-vae": VQVAEConfig(codes=8, width=4, channels=4, blocks=1),
    "vq-vae-2": VQVAE2Config(top_codes=4, bottom_codes=8, width=4, channels=4, blocks=1),
}

WITHOUT_SAMPLES = {"ae", "conv-ae", "denoising-ae", "sparse-ae", "vq-vae", "vq-vae-2"}
"""Models that have no distribution over their codes, or none before something more is fitted."""


def untrained(name: str, seed: int = 0) -> ImageModule:
    """A small model with fresh weights."""
    torch.manual_seed(seed)
    return catalog.create(name, SHAPE, SMALL[name])


def images(n: int = 4, seed: int = 0) -> Tensor:
    """Binary images, shape (n, 1, 8, 8)."""
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed)).round()


def labels(model: ImageModule, n: int = 4) -> Tensor | None:
    """Labels for a model that asks for them."""
    classes = getattr(model.config, "classes", 0)
    return torch.arange(n) % classes if classes else None

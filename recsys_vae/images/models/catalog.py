"""The one list of image models: name -> configuration and class."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recsys_vae.errors import UnknownNameError
from recsys_vae.images.layers.checks import Shape
from recsys_vae.images.models.autoencoder import Autoencoder, AutoencoderConfig
from recsys_vae.images.models.beta_vae import BetaVAE, BetaVAEConfig
from recsys_vae.images.models.categorical_vae import CategoricalVAE, CategoricalVAEConfig
from recsys_vae.images.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from recsys_vae.images.models.conv_ae import ConvAutoencoder, ConvAutoencoderConfig
from recsys_vae.images.models.conv_vae import ConvVAE, ConvVAEConfig
from recsys_vae.images.models.denoising_ae import DenoisingAutoencoder, DenoisingAutoencoderConfig
from recsys_vae.images.models.pixelcnn_vae import PixelCNNVAE, PixelCNNVAEConfig
from recsys_vae.images.models.sparse_ae import SparseAutoencoder, SparseAutoencoderConfig
from recsys_vae.images.models.vae import VAE, VAEConfig
from recsys_vae.images.models.vq_vae import VQVAE, VQVAEConfig
from recsys_vae.images.models.vq_vae2 import VQVAE2, VQVAE2Config
from recsys_vae.images.protocol import ImageModule
from recsys_vae.settings import with_plain_settings


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue.

    Attributes:
        config: its frozen configuration; every field has a default and is a number, a text or a flag.
        model: its class, made from (shape, config); an `nn.Module` that is an `ImageModel`.
        summary: one line for `recsys images models`.
    """

    config: type
    model: type
    summary: str


CATALOG: dict[str, Entry] = {
    "ae": Entry(AutoencoderConfig, Autoencoder, "autoencoder of linear layers (Hinton & Salakhutdinov 2006)"),
    "vae": Entry(VAEConfig, VAE, "variational autoencoder of linear layers (Kingma & Welling 2014)"),
    "conv-vae": Entry(ConvVAEConfig, ConvVAE, "variational autoencoder of strided convolutions"),
    "beta-vae": Entry(BetaVAEConfig, BetaVAE, "a VAE with a price on its code, or a capacity (Higgins et al. 2017)"),
    "conditional-vae": Entry(ConditionalVAEConfig, ConditionalVAE, "a VAE told the label (Kingma et al. 2014, M2)"),
    "categorical-vae": Entry(
        CategoricalVAEConfig, CategoricalVAE, "discrete codes by Gumbel-softmax (Jang et al. 2017)"
    ),
    "pixelcnn-vae": Entry(PixelCNNVAEConfig, PixelCNNVAE, "a VAE with an autoregressive decoder; collapses easily"),
    "conv-ae": Entry(ConvAutoencoderConfig, ConvAutoencoder, "autoencoder of convolutions (Masci et al. 2011)"),
    "denoising-ae": Entry(
        DenoisingAutoencoderConfig, DenoisingAutoencoder, "clean images from corrupted ones (Vincent et al. 2008)"
    ),
    "sparse-ae": Entry(SparseAutoencoderConfig, SparseAutoencoder, "wide code, few units in use (Ng 2011)"),
    "vq-vae": Entry(VQVAEConfig, VQVAE, "grid of codes from a learned codebook (van den Oord et al. 2017)"),
    "vq-vae-2": Entry(VQVAE2Config, VQVAE2, "two grids of codes, coarse and fine (Razavi et al. 2019)"),
}


def entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UnknownNameError: there is no such model; the message lists those that exist.
    """
    if name not in CATALOG:
        raise UnknownNameError("image model", name, CATALOG)
    return CATALOG[name]


def configure(name: str, settings: Mapping[str, Any]) -> Any:
    """The configuration of a model from settings by name, as the command line or a manifest gives them.

    Raises:
        UnknownNameError: no such model, or a setting that it does not have.
        ConfigError: a value of the wrong type or out of its range.
    """
    return with_plain_settings(entry(name).config(), settings, of=name)


def create(name: str, shape: Shape, config: Any = None) -> ImageModule:
    """A model with fresh weights, drawn from torch's default generator; the default configuration where none is given.

    Raises:
        UnknownNameError: no such model.
        ConfigError: the shape does not suit the model.
    """
    found = entry(name)
    model: ImageModule = found.model(shape, config if config is not None else found.config())
    return model


def name_of(model: ImageModule) -> str:
    """The name under which the class of a model stands in the catalogue."""
    for name, found in CATALOG.items():
        if type(model) is found.model:
            return name
    raise UnknownNameError("class of image models", type(model).__name__, (e.model.__name__ for e in CATALOG.values()))


def settings_of(model: ImageModule) -> dict[str, Any]:
    """The configuration of a model as plain values by name, from which `configure` makes it again."""
    return asdict(model.config)

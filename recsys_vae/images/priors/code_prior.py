"""Priors over the codes of a vector-quantized model: the one place that makes them."""

from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.priors.code_distribution import CodeDistribution
from recsys_vae.images.priors.pixelcnn_prior import PixelCNNPrior
from recsys_vae.images.priors.prior_config import PIXELCNN, TRANSFORMER, PriorConfig
from recsys_vae.images.priors.transformer_prior import TransformerPrior

MADE_BY: dict[str, type[PixelCNNPrior] | type[TransformerPrior]] = {
    PIXELCNN: PixelCNNPrior,
    TRANSFORMER: TransformerPrior,
}


def create_prior(config: PriorConfig, layout: CodeLayout) -> CodeDistribution | None:
    """The prior that a configuration names, with fresh weights; None for none.

    Raises:
        ConfigError: an even kernel, or a width that the heads do not divide.
    """
    made_by = MADE_BY.get(config.prior)
    return made_by(layout, config) if made_by else None

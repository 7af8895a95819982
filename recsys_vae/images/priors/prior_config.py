"""PriorConfig: the part of a vector-quantized model's configuration that its prior over codes is made from."""

from dataclasses import dataclass

from recsys_vae.errors import ConfigError, UnknownNameError

NONE, PIXELCNN, TRANSFORMER = "none", "pixelcnn", "transformer"
PRIORS = (NONE, PIXELCNN, TRANSFORMER)


@dataclass(frozen=True)
class PriorConfig:
    """Settings of a prior over codes.

    Attributes:
        prior: none, pixelcnn or transformer; set when one is added to a model.
        prior_width: channels of the PixelCNN's stacks; width of the Transformer.
        prior_layers: gated layers, or blocks.
        prior_kernel: odd side of the PixelCNN's convolutions.
        prior_heads: of the Transformer's attention.
        classes: labels that the prior is conditional on; 0 for none. Encoder and decoder never see them.

    Raises:
        UnknownNameError: there is no such prior.
        ConfigError: a number out of its range.
    """

    prior: str = NONE
    prior_width: int = 64
    prior_layers: int = 4
    prior_kernel: int = 3
    prior_heads: int = 4
    classes: int = 0

    def __post_init__(self) -> None:
        if self.prior not in PRIORS:
            raise UnknownNameError("prior over codes", self.prior, PRIORS)
        if min(self.prior_width, self.prior_layers, self.prior_kernel, self.prior_heads) < 1 or self.classes < 0:
            raise ConfigError(
                "prior_width, prior_layers, prior_kernel and prior_heads are at least 1 and classes at least 0; got "
                f"{self.prior_width}, {self.prior_layers}, {self.prior_kernel}, {self.prior_heads} and {self.classes}."
            )

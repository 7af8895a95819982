"""What every image model answers to.

Images are float32 in [0, 1], shape (n, channels, height, width); labels are int64, shape (n,). Losses are in nats an
image: summed over pixels and latents, averaged over the batch, so that repeating a batch leaves them unchanged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Loss:
    """The loss of a batch and its two parts, scalars in nats an image.

    Attributes:
        total: what is minimised: reconstruction + weight * regularizer, where a model does not say otherwise.
        reconstruction: -log p(x | z).
        regularizer: what the model adds, unweighted: KL, sparsity, commitment; 0 where there is none.
    """

    total: Tensor
    reconstruction: Tensor
    regularizer: Tensor


@runtime_checkable
class ImageModel(Protocol):
    """An autoencoder of images; an `nn.Module` that only computes."""

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The code of each image: the mean where the code is a distribution, shape (n, ...)."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits of the pixels under a Bernoulli likelihood, their means under a Gaussian one, as the images' shape."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode the code: the reconstruction, in the units of `decode`."""

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """Loss of a batch; `beta` weighs the regularizer."""

    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """New images as pixel means in [0, 1], shape (n, channels, height, width).

        Raises:
            ModelError: the model has no distribution to draw codes from.
        """


class Learner(Protocol):
    """An `nn.Module` that the training loop takes: an image model, or a prior over codes of images.

    Attributes:
        config: its frozen configuration.
        training: whether dropout, noise and the like are switched on.
    """

    config: Any
    training: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """Loss of a batch; `beta` weighs the regularizer."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is learned."""

    def state_dict(self) -> dict[str, Any]:
        """Weights and buffers by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take over weights and buffers by name."""

    def to(self, device: torch.device) -> Self:
        """Move to a device."""

    def train(self, mode: bool = True) -> Self:
        """Switch dropout, noise and the like on."""

    def eval(self) -> Self:
        """Switch them off."""


class ImageModule(ImageModel, Learner, Protocol):
    """An `ImageModel` as the `nn.Module` that it is: what files and pipelines need to know of it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its images."""

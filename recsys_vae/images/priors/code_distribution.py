"""A distribution over the codes of an image: what every prior over codes answers to.

log p(c | y) = sum over codes i of log p(c_i | c_1 ... c_(i-1), y), in the order of the layout: the coarsest grid first,
each row by row, so that finer grids are conditional on coarser ones.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.errors import ModelError
from recsys_vae.images.layers.checks import check_labels
from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.priors.prior_config import PriorConfig
from recsys_vae.images.protocol import Loss


class CodeDistribution(nn.Module, ABC):
    """An autoregressive distribution over rows of codes.

    Attributes:
        layout: how the codes lie.
        config: its settings.
        classes: number of classes that it is conditional on; 0 for none.
        fitted: whether it has been trained; saved with the weights.
    """

    fitted: Tensor

    def __init__(self, layout: CodeLayout, config: PriorConfig) -> None:
        super().__init__()
        self.layout, self.config, self.classes = layout, config, config.classes
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the codes of an image."""
        return (self.layout.length,)

    @abstractmethod
    def logits(self, codes: Tensor, y: Tensor | None) -> list[Tensor]:
        """Unnormalised log probabilities of each code given those before it, (n, size, h * w) for each grid."""

    @abstractmethod
    def draw(self, n: int, y: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Rows of codes, int64, shape (n, length); the labels are checked."""

    def log_prob(self, codes: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(c | y) of rows of codes in nats, shape (n,).

        Args:
            codes: int64, shape (n, length).
            y: labels, shape (n,); needed where it has classes, else ignored.

        Raises:
            DataError: codes or labels of another shape or type, or out of their range.
        """
        grids = self.layout.split(codes)
        logits = self.logits(codes, check_labels(y, len(codes), self.classes))
        nats = [
            functional.cross_entropy(scores.float(), grid.flatten(1), reduction="none").sum(dim=1)
            for scores, grid in zip(logits, grids, strict=True)
        ]
        return -torch.stack(nats).sum(dim=0)

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """-log p(x | y) of rows of codes averaged over the batch, in nats an image; there is nothing for `beta`."""
        nats = -self.log_prob(x, y).mean()
        return Loss(total=nats, reconstruction=nats, regularizer=torch.zeros_like(nats))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """New rows of codes, int64, shape (n, length).

        Args:
            n: how many.
            y: labels, shape (n,); where it has classes and none are given, they are drawn with equal shares.
            generator: of random numbers.

        Raises:
            ModelError: labels are given, but it is conditional on none.
            DataError: labels of another shape or out of their range.
        """
        if y is not None and not self.classes:
            raise ModelError(
                "This prior is not conditional on classes: sample without labels, or fit a prior with classes set."
            )
        if y is None and self.classes:
            y = torch.randint(self.classes, (n,), generator=generator)
        device = self.fitted.device
        return self.draw(n, check_labels(y.to(device) if y is not None else None, n, self.classes), generator)


def drawn(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One code a row, int64, shape (n,), from unnormalised log probabilities, shape (n, size)."""
    return torch.multinomial(logits.float().softmax(dim=1), 1, generator=generator).squeeze(1)

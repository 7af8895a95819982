"""Mult-DAE: a denoising autoencoder with a multinomial likelihood.

    maximise  log p(x | f(g(dropout(x / ||x||))))  -  lambda ||W||^2

One tanh layer of 200 between input and output, as the paper's published configuration has it.

Source: Liang, Krishnan, Hoffman & Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018, section 2.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.mult_vae import check_dropout
from recsys_vae.models.search_space import BY_GRADIENT, Real, SearchSpace, Whole
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows


@dataclass(frozen=True)
class MultDAEConfig(SignedOptions):
    """Width, dropout and weight penalty; the defaults are the paper's.

    Attributes:
        hidden: width of the hidden layer.
        dropout: share of the input entries that is dropped in training.
        l2: lambda, factor of the squared weights in the loss.
    """

    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "hidden": Whole(100, 800, step=100),
        "dropout": Real(0.1, 0.8),
        "l2": Real(1e-4, 1.0, log=True),
        "weight_decay": Real(0.0, 2.0),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    hidden: int = 200
    dropout: float = 0.5
    l2: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 1 or self.l2 < 0:
            raise ConfigError(f"hidden is at least 1 and l2 at least 0, got hidden={self.hidden}, l2={self.l2}.")
        check_dropout(self.dropout)


class MultDAE(Autoencoder):
    """The denoising model of Liang et al. 2018."""

    def __init__(self, n_items: int, config: MultDAEConfig) -> None:
        super().__init__(n_items, config.hidden)
        self.config = config
        self.encoder = SparseLinear(n_items, config.hidden)

    def hidden(self, rows: SparseRows) -> Tensor:
        """Code of the rows, shape (n, hidden)."""
        return torch.tanh(self.encoder(rows.l2_normalised()))

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative log-likelihood plus the weight penalty; there is no KL to weigh."""
        hidden = torch.tanh(self.encoder(rows.l2_normalised().dropped(self.config.dropout, objective.generator)))
        total, nll = self.misfit(hidden, rows, objective)
        if self.config.l2:
            total = total + self.config.l2 * (self.encoder.weight.square().sum() + self.output.weight.square().sum())
        return Loss(total, nll, torch.zeros_like(nll))

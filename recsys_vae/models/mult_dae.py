"""Mult-DAE: a denoising autoencoder with a multinomial likelihood.

    maximise  log p(x | f(g(dropout(x / ||x||))))  -  lambda ||W||^2

One tanh layer of 200 between input and output, as the paper's published configuration has it.

Source: Liang, Krishnan, Hoffman & Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018, section 2.
"""

import torch
from torch import Tensor

from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.configs.mult_dae import MultDAEConfig
from recsys_vae.nn.compiled_stack import CompiledStack
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows


class MultDAE(Autoencoder):
    """The denoising model of Liang et al. 2018."""

    def __init__(self, n_items: int, config: MultDAEConfig) -> None:
        super().__init__(n_items, config.hidden)
        self.config = config
        self.encoder = SparseLinear(n_items, config.hidden)
        self._compiled = CompiledStack(self, config.prediction.hidden)

    def hidden(self, rows: SparseRows) -> Tensor:
        """Code of the rows, shape (n, hidden)."""
        if (found := self._by_compiled(rows)) is not None:
            return found
        return torch.tanh(self.encoder(rows.l2_normalised()))

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative log-likelihood plus the weight penalty; there is no KL to weigh."""
        hidden = torch.tanh(self.encoder(rows.l2_normalised().dropped(self.config.dropout, objective.generator)))
        total, nll = self.misfit(hidden, rows, objective)
        if self.config.l2:
            total = total + self.config.l2 * (self.encoder.weight.square().sum() + self.output.weight.square().sum())
        return Loss(total, nll, torch.zeros_like(nll))

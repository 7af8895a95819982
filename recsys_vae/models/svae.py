"""SVAE: a variational autoencoder of what comes next, whose code is drawn anew after every item.

    h_t = GRU(items up to t),   z_t ~ q(z | h_t) = N(mean(h_t), variance(h_t)),   pi(z_t) = softmax(f(z_t))
    minimise  sum over t of  -sum over the next k items of log pi(z_t) + beta KL(q(z | h_t) || N(0, I))

The likelihood is the multinomial of the order-blind models, of the next k items instead of all: an order-aware
Mult-VAE. The query is f's last hidden layer at the mean of q after the latest item.

Source: Sachdeva, Manco, Ritacco & Pudi, Sequential Variational Autoencoders for Collaborative Filtering, WSDM 2019,
sections 3.2 and 3.3 (SVAE and next-k). Histories longer than a window learn in several windows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.models.configs.svae import SVAEConfig
from recsys_vae.models.sequential import Sequential
from recsys_vae.models.variational import Variational
from recsys_vae.nn.gaussians import DiagonalGaussian, free_bits
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sequences import START, Windows, next_items, to_ask, to_learn
from recsys_vae.nn.sparse_layers import SparseRows, linear
from recsys_vae.nn.transformer import Dropout


class SVAE(Sequential, Variational):
    """The model of Sachdeva et al. 2019."""

    def __init__(self, n_items: int, config: SVAEConfig) -> None:
        super().__init__(n_items, config.hidden)
        self.config = config
        self.items = nn.Parameter(torch.empty(n_items, config.embedding))
        self.start = nn.Parameter(torch.empty(config.embedding))
        nn.init.normal_(self.items, std=config.embedding**-0.5)
        nn.init.normal_(self.start, std=config.embedding**-0.5)
        self.recurrent = nn.GRU(config.embedding, config.recurrent, batch_first=True)
        self.encoder = linear(config.recurrent, 2 * config.latent)
        self.decoder = linear(config.latent, config.hidden)

    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z | x) after the latest item of each row, d = latent."""
        latest = torch.empty(len(rows), self.config.recurrent, device=self.device)
        windows = to_ask(rows, self.config.length)
        for numbers, places, is_real in windows.groups():
            states = self._states(windows, places, Dropout())
            latest[numbers] = states[torch.arange(len(numbers), device=latest.device), is_real.sum(dim=1) - 1].float()
        return self._code(latest)

    def hidden(self, rows: SparseRows) -> Tensor:
        """Decoder's hidden layer at the posterior mean, shape (n, hidden)."""
        return torch.tanh(self.decoder(self.posterior(rows).mean))

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative evidence lower bound of the next items after every place, one draw of z each, in nats a user."""
        windows, _ = to_learn(rows, self.config.length)
        drop = Dropout(self.config.dropout, objective.generator)
        states, asked = [], []
        for _, places, is_real in windows.groups():
            states.append(self._states(windows, places, drop)[is_real])
            asked.append(places[is_real])
        posterior = self._code(torch.cat(states))
        hidden = torch.tanh(self.decoder(posterior.sample(objective.generator)))
        targets = next_items(windows.inputs, torch.cat(asked), self.config.ahead)
        nll = objective.likelihood(hidden, self.output, targets).sum() / len(rows)
        kl = posterior.kl_to_standard_normal()
        penalty = free_bits(kl, objective.free_bits) * len(kl) / len(rows)
        total = nll + objective.kl_weight * penalty
        return Loss(total, nll.detach(), kl.detach().sum() / len(rows))

    def _states(self, windows: Windows, places: Tensor, drop: Dropout) -> Tensor:
        """The recurrent layer's output at each place, shape (m, longest, recurrent)."""
        inputs = windows.inputs[places]
        embedded = functional.embedding(inputs.clamp(min=0), self.items)
        x = drop(torch.where((inputs == START).unsqueeze(-1), self.start, embedded))
        states: Tensor = self.recurrent(x)[0]
        return states

    def _code(self, states: Tensor) -> DiagonalGaussian:
        mean, log_variance = self.encoder(states).float().chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance)

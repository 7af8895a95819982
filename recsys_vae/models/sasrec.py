"""SASRec: a causal transformer over the latest items of a history says which item comes next.

    scores after item t = W norm(blocks(embedding of the items up to t)) + b,   W: the embeddings themselves
    minimise  -sum over all t of log softmax(scores after t)[item t + 1]

All places of a sequence learn at once. The loss is the softmax over all items, exact or sampled (`likelihood`), which
is what the model needs to be at its best (Klenitskiy & Vasilev 2023), instead of the paper's one negative; or gBCE
(`nn.gbce`), for catalogues where even a sample is too many.

Differences from the paper: histories longer than a window learn in several windows instead of losing what is older;
places are told by rotation unless they are asked to be learned; a bias an item; no dropout within attention.

Source: Kang & McAuley, Self-Attentive Sequential Recommendation, ICDM 2018; Klenitskiy & Vasilev, Turning Dross Into
Gold Loss: is BERT4Rec really better than SASRec?, RecSys 2023.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.models.configs.sasrec import SASRecConfig
from recsys_vae.models.sequential import Sequential
from recsys_vae.nn.gbce import GeneralisedBCE
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sequences import START, Windows, one_target_each, to_ask, to_learn
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.nn.transformer import Block, Dropout, rotation


class SASRec(Sequential):
    """The model of Kang & McAuley 2018."""

    def __init__(self, n_items: int, config: SASRecConfig) -> None:
        super().__init__(n_items, config.width)
        self.config = config
        self.start = nn.Parameter(torch.empty(config.width))
        self.places = nn.Parameter(torch.empty(config.length if config.places == "learned" else 0, config.width))
        nn.init.normal_(self.start, std=0.02)
        nn.init.normal_(self.places, std=0.02)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)

    def hidden(self, rows: SparseRows) -> Tensor:
        """What the latest place says, shape (n, width)."""
        found = torch.empty(len(rows), self.config.width, device=self.device)
        windows = to_ask(rows, self.config.length)
        for numbers, places, is_real in windows.groups():
            states = self._states(windows, places, Dropout())
            latest = is_real.sum(dim=1) - 1
            found[numbers] = self.norm(states[torch.arange(len(numbers), device=latest.device), latest])
        return found

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative log-likelihood of every item of the histories after those before it, in nats a user."""
        windows, targets = to_learn(rows, self.config.length)
        drop = Dropout(self.config.dropout, objective.generator)
        states, items = [], []
        for _, places, is_real in windows.groups():
            states.append(self._states(windows, places, drop)[is_real])
            items.append(targets[places[is_real]])
        hidden = self.norm(torch.cat(states))
        likelihood = objective.likelihood
        if self.config.loss == "gbce":
            likelihood = GeneralisedBCE(self.config.gbce_negatives, self.config.gbce_calibration, objective.generator)
        nll = likelihood(hidden, self.output, one_target_each(torch.cat(items))).sum() / len(rows)
        return Loss(nll, nll.detach(), torch.zeros_like(nll.detach()))

    def _states(self, windows: Windows, places: Tensor, drop: Dropout) -> Tensor:
        """The blocks' output at each place, shape (m, longest, width)."""
        inputs = windows.inputs[places]
        is_start = (inputs == START).unsqueeze(-1)
        embedded = functional.embedding(inputs.clamp(min=0), self.output.weight)
        x = torch.where(is_start, self.start, embedded) * self.config.width**0.5
        length = places.shape[1]
        turned = None
        if self.config.places == "learned":
            x = x + self.places[:length]
        else:
            turned = rotation(length, self.config.width // self.config.heads, x.device)
        x = drop(x)
        for block in self.blocks:
            x = block(x, turned, drop)
        states: Tensor = x
        return states

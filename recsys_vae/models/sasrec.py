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

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.errors import ConfigError
from recsys_vae.models.mult_vae import check_dropout
from recsys_vae.models.search_space import OneOf, Real, SearchSpace, Whole
from recsys_vae.models.sequential import Sequential
from recsys_vae.nn.gbce import GeneralisedBCE
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sequences import START, Windows, one_target_each, to_ask, to_learn
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.nn.transformer import Block, Dropout, rotation

PLACES = ("rotary", "learned")
LOSSES = ("softmax", "gbce")


@dataclass(frozen=True)
class SASRecConfig:
    """Widths, depth and loss.

    Attributes:
        width: of item vectors and hidden layers.
        blocks: of attention.
        heads: of each; they share the width evenly.
        length: inputs of the longest window.
        dropout: share of the numbers that is dropped after the embedding and after each layer.
        places: how order is told: `rotary` or `learned`.
        loss: `softmax`, or `gbce`, which pays no attention to `likelihood`.
        gbce_negatives: items that gbce draws a step.
        gbce_calibration: t of gbce, 0 to 1.
    """

    TRAINING: ClassVar[dict[str, Any]] = {"batch_size": 32, "epochs": 60, "patience": 5}
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        "learning_rate": Real(3e-4, 3e-3, log=True),
        "batch_size": OneOf((16, 32, 64, 128, 500)),
        "width": OneOf((64, 128, 256)),
        "blocks": Whole(1, 3),
        "dropout": Real(0.1, 0.5),
    }

    width: int = 64
    blocks: int = 2
    heads: int = 2
    length: int = 200
    dropout: float = 0.2
    places: str = "rotary"
    loss: str = "softmax"
    gbce_negatives: int = 256
    gbce_calibration: float = 0.75

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.heads, self.length, self.gbce_negatives) < 1:
            raise ConfigError(
                "width, blocks, heads, length and gbce_negatives are at least 1; got "
                f"{self.width}, {self.blocks}, {self.heads}, {self.length} and {self.gbce_negatives}."
            )
        if self.width % (2 * self.heads):
            raise ConfigError(f"Each of the {self.heads} heads has an even share of width; got {self.width}.")
        if self.places not in PLACES or self.loss not in LOSSES:
            raise ConfigError(
                f"places is one of {', '.join(PLACES)} and loss one of {', '.join(LOSSES)}; got {self.places!r} and "
                f"{self.loss!r}."
            )
        if not 0 <= self.gbce_calibration <= 1:
            raise ConfigError(f"gbce_calibration is between 0 and 1; got {self.gbce_calibration}.")
        check_dropout(self.dropout)


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

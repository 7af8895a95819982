"""Autoencoder: what the neural models have in common, so that each file holds its own idea only."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from recsys_vae.errors import DataError
from recsys_vae.interactions import check_histories
from recsys_vae.models.layers import SparseRows, linear
from recsys_vae.models.losses import Loss, Objective
from recsys_vae.protocols import Float32Array, Tensors


class Autoencoder(nn.Module):
    """Sparse history in, hidden vector in between, linear output layer: scores = hidden @ weight.T + bias.

    The last layer being linear makes every such model a `FactorizedRecommender`: queries are `[hidden, 1]`, item
    vectors `[weight, bias]`. Subclasses define `hidden` (deterministic, for prediction) and `loss` (for training).
    """

    config: Any

    def __init__(self, n_items: int, width: int) -> None:
        super().__init__()
        self.output = linear(width, n_items)

    @abstractmethod
    def hidden(self, rows: SparseRows) -> Tensor:
        """Input of the output layer at prediction time, shape (n, width): no dropout, no sampling."""

    @abstractmethod
    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Loss of reconstructing `rows`, averaged over them."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before pass number `epoch` over the users, from 0, and again when that pass is resumed.

        A model whose parts learn in turns chooses here which parameters require a gradient.
        """

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self.output.out_features

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.output.weight.device

    @torch.inference_mode()
    def encode(self, histories: csr_array, metadata: None = None) -> Float32Array:
        """Queries of histories, shape (n, width + 1); the last column is 1."""
        return self._with_ones(self._hidden(histories))

    @torch.inference_mode()
    def item_vectors(self) -> Float32Array:
        """Item vectors, shape (n_items, width + 1); the last column is the bias."""
        vectors = torch.cat([self.output.weight, self.output.bias.unsqueeze(1)], dim=1)
        return vectors.float().cpu().numpy()

    @torch.inference_mode()
    def score(self, histories: csr_array) -> Float32Array:
        """Scores of all items, shape (n, n_items): unnormalised log-probabilities."""
        scores: Float32Array = self.output(self._hidden(histories)).float().cpu().numpy()
        return scores

    def tensors(self) -> Tensors:
        """Weights by name."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over weights by name.

        Raises:
            DataError: names or shapes do not fit this configuration.
        """
        try:
            self.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
        except RuntimeError as error:
            raise DataError(f"These weights belong to a model of another configuration: {error}") from error

    def _hidden(self, histories: csr_array) -> Tensor:
        check_histories(histories, self.n_items)
        return self.hidden(SparseRows.from_csr(histories, self.device).binarised())

    @staticmethod
    def _with_ones(hidden: Tensor) -> Float32Array:
        ones = torch.ones(len(hidden), 1, device=hidden.device)
        return torch.cat([hidden.float(), ones], dim=1).cpu().numpy()

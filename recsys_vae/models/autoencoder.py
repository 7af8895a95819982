"""Autoencoder: what the neural models have in common, so that each file holds its own idea only."""

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from recsys_vae.data.features import check_metadata
from recsys_vae.data.histories import check_histories
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.weighting import options_of
from recsys_vae.native.encoder import Encoder
from recsys_vae.nn.compiled_stack import CompiledStack
from recsys_vae.nn.inner_products import inner_products
from recsys_vae.nn.objective import Objective
from recsys_vae.nn.ranking_penalty import ranking_penalty
from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.nn.sparse_layers import Dense, SparseLinear, SparseRows, output_layer
from recsys_vae.protocols import Float32Array, Tensors


class Autoencoder(Trainable):
    """Sparse history in, hidden vector in between, linear output layer: scores = hidden @ weight.T + bias.

    The last layer being linear makes every such model a `FactorizedRecommender`: queries are `[hidden, 1]`, item
    vectors `[weight, bias]`. Subclasses define `hidden` (deterministic, for prediction) and `loss` (for training).
    """

    _compiled: CompiledStack | None = None
    """What `hidden` computes, where the model's layers are such as can be computed together."""

    def __init__(self, n_items: int, width: int) -> None:
        super().__init__()
        self.output = output_layer(width, n_items)
        self._n_items = n_items

    @abstractmethod
    def hidden(self, rows: SparseRows) -> Tensor:
        """Input of the output layer at prediction time, shape (n, width): no dropout, no sampling."""

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._n_items

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.output.weight.device

    def misfit(self, hidden: Tensor, rows: SparseRows, objective: Objective) -> tuple[Tensor, Tensor]:
        """What a step minimises of predictions, and the negative log-likelihood in it; scalars, averaged over users.

        They differ where dislikes count: these are to score below what is liked.

        Args:
            hidden: input of the output layer, shape (n, width).
            rows: the batch, as `examples` makes it.
        """
        nll = objective.likelihood(hidden, self.output, rows.wanted).mean()
        if rows.unwanted is None:
            return nll, nll.detach()
        is_sampled = isinstance(objective.likelihood, SampledSoftmax) and self.output.weight.requires_grad
        penalty = ranking_penalty(hidden, self.output, rows.wanted, rows.unwanted, sparse_gradient=is_sampled)
        return nll + penalty.mean(), nll.detach()

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over weights by name, and be ready to predict by them; raises as `Trainable.load_tensors`."""
        super().load_tensors(tensors)
        for layer in self._predicting():
            if isinstance(layer, Dense) and layer is not self.output:
                layer.pack()
            elif isinstance(layer, SparseLinear):
                layer.is_taken_over = True

    def _predicting(self) -> Iterable[nn.Module]:
        """Layers that prediction may go through, the output layer or not."""
        return self.modules()

    @torch.inference_mode()
    def encode(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Queries of histories, shape (n, width + 1); the last column is 1."""
        self._check(histories, metadata)
        if self._is_compiled and (metadata is None or not self.n_features):
            assert self._compiled is not None
            ones = np.ones(histories.nnz, dtype=np.float32)
            if (found := self._compiled.queries(histories, ones)) is not None:
                return found
        return self._with_ones(self._hidden(histories, metadata))

    @torch.inference_mode()
    def compiled_encoder(self) -> Encoder | None:
        """What makes queries of histories alone, but for their last column; None where that is not one call."""
        return self._compiled.ready() if self._compiled is not None and self._is_compiled else None

    @property
    def _is_compiled(self) -> bool:
        """Whether histories are encoded by compiled code, if by any, whatever their weights."""
        return self._compiled is not None and options_of(self.config).is_plain

    @torch.inference_mode()
    def item_vectors(self) -> Float32Array:
        """Item vectors, shape (n_items, width + 1); the last column is the bias."""
        return self.some_item_vectors(0, self.n_items)

    @torch.inference_mode()
    def some_item_vectors(self, start: int, end: int) -> Float32Array:
        """Those of the items from one row to before another, shape (end - start, width + 1)."""
        vectors = torch.cat([self.output.weight[start:end], self.output.bias[start:end].unsqueeze(1)], dim=1)
        return vectors.float().cpu().numpy()

    @torch.inference_mode()
    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Scores of all items, shape (n, n_items): unnormalised log-probabilities."""
        self._check(histories, metadata)
        scores = inner_products(self._hidden(histories, metadata), self.output.weight, self.output.bias)
        array: Float32Array = scores.cpu().numpy()
        return array

    @property
    def n_features(self) -> int:
        """Width of the metadata that it takes; 0 for a model that takes none."""
        return sum(getattr(self.config, "metadata", ()))

    def _by_compiled(self, rows: SparseRows) -> Tensor | None:
        return None if self._compiled is None else self._compiled(rows)

    def _check(self, histories: csr_array, metadata: csr_array | None) -> None:
        check_histories(histories, self.n_items, signed=self.is_signed)
        if metadata is not None and self.n_features:
            check_metadata(metadata, histories.shape[0], self.n_features)

    def _hidden(self, histories: csr_array, metadata: csr_array | None) -> Tensor:
        return self.hidden(self.rows(histories, metadata if self.n_features else None))

    @staticmethod
    def _with_ones(hidden: Tensor) -> Float32Array:
        ones = torch.ones(len(hidden), 1, device=hidden.device)
        return torch.cat([hidden.float(), ones], dim=1).cpu().numpy()

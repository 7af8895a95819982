"""Trainable: what the training loop and its checkpoints need to know of a model that learns by gradient."""

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from recsys_vae.arrays import is_mapped
from recsys_vae.models.weighting import options_of
from recsys_vae.models.weights import check_weights, of_another_configuration
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.protocols import Float32Array, Tensors


class Trainable(nn.Module):
    """A module with a configuration, a catalogue, and a loss over sparse histories.

    With what subclasses define, `n_items`, `loss` and `score`, it is a `Recommender`.
    """

    config: Any
    WANTS_DISLIKES: ClassVar[bool] = False
    """Whether dislikes are targets like others, as numbers below 0; else they stand beside them, as `unwanted`."""

    @property
    def is_signed(self) -> bool:
        """Whether histories may hold dislikes, as weights below 0."""
        return options_of(self.config).counted > 0

    def rows(self, histories: csr_array, metadata: csr_array | None = None) -> SparseRows:
        """Histories as the model is shown them, on its device.

        Args:
            histories: shape (n, n_items).
            metadata: what else is known of the users, shape (n, n_features).
        """
        options = options_of(self.config)
        if options.is_plain:
            return SparseRows.from_csr(histories, self.device, metadata).binarised()
        return SparseRows.from_csr(options.inputs(histories), self.device, metadata)

    def examples(self, histories: csr_array, metadata: csr_array | None = None) -> SparseRows:
        """The same with what it is to predict of them, where that is something else: what `loss` takes."""
        options, rows = options_of(self.config), self.rows(histories, metadata)
        apart = options.counted > 0 and not self.WANTS_DISLIKES
        if options.shown == options.wanted and not apart:
            return rows
        targets = SparseRows.from_csr(options.targets(histories, dislikes=self.WANTS_DISLIKES), self.device)
        unwanted = SparseRows.from_csr(options.unwanted(histories), self.device) if apart else None
        return replace(rows, targets=targets, unwanted=unwanted)

    @property
    def epochs_a_round(self) -> int:
        """Epochs in which every part learns once; more than 1 where parts learn in turns."""
        return 1

    @property
    @abstractmethod
    def n_items(self) -> int:
        """Width of the catalogue."""

    @abstractmethod
    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """What a step over `rows`, as `examples` makes them, minimises, averaged; penalties of weights are not."""

    @abstractmethod
    def score(self, histories: csr_array) -> Float32Array:
        """Scores of all items, shape (n, n_items): no dropout, no sampling."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before pass number `epoch` over the users, from 0, and again when that pass is resumed.

        A model whose parts learn in turns chooses here which parameters require a gradient.
        """

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        first: Tensor = next(self.parameters())
        return first.device

    def tensors(self) -> Tensors:
        """Weights by name."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over weights by name: copies, but of mapped ones, which several processes predict by (`mapped`).

        Raises:
            DataError: names, shapes or types do not fit this configuration, or a weight is not finite, or beyond what
                training gives.
        """
        check_weights(tensors, {name: kept.dtype for name, kept in self.tensors().items()})
        try:
            are_mapped = any(map(is_mapped, tensors.values()))
            taken = {name: torch.from_numpy(_taken(value)) for name, value in tensors.items()}
            self.load_state_dict(taken, assign=are_mapped)
        except RuntimeError as error:
            raise of_another_configuration(error) from error


def _taken(value: NDArray[Any]) -> NDArray[Any]:
    """An array as torch takes it: as it is, or a copy where it may not be written to and is not mapped."""
    return np.asarray(value) if is_mapped(value) else np.require(value, requirements=["C", "W"])

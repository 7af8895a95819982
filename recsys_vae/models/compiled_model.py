"""CompiledModel: an autoencoder that only predicts, by compiled loops: the same numbers, without torch.

Importing torch takes longer than whole jobs that only ask a model. What is computed, the configuration says
(`nn/steps.py`); how, `native/encoder.py`. It stands for models whose encoder is one compiled call: that take no
metadata, and to which yes or no is all that counts. Weights are read where they lie, and neither learned nor written.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.histories import check_histories
from recsys_vae.models.weighting import options_of
from recsys_vae.models.weights import check_weights, of_another_configuration
from recsys_vae.native.encoder import Encoder, Layer, Norm
from recsys_vae.native.library import library
from recsys_vae.native.products import Packed, products
from recsys_vae.nn.steps import Prediction, Step
from recsys_vae.protocols import Float32Array, Tensors


def suits(config: object) -> bool:
    """Whether a model of this configuration can be asked without torch."""
    is_plain = options_of(config).is_plain and not getattr(config, "metadata", ())
    return is_plain and hasattr(config, "prediction") and library() is not None


class CompiledModel:
    """A factorised recommender over weights of the model that its configuration belongs to."""

    def __init__(self, n_items: int, config: Any) -> None:
        self.config = config
        self._n_items = n_items
        self._prediction: Prediction = config.prediction
        self._tensors: Tensors = {}

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._n_items

    def tensors(self) -> Tensors:
        """Weights by name."""
        return dict(self._tensors)

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over weights by name, without a copy.

        Raises:
            DataError: names, shapes or types do not fit this configuration, or a weight is not finite, or beyond what
                training gives.
        """
        shapes = self._shapes()
        check_weights(tensors, dict.fromkeys(shapes, np.dtype(np.float32)))
        if found := {name for name in shapes.keys() | tensors if name not in shapes or name not in tensors}:
            raise of_another_configuration(f"{min(found)} is in one of them only.")
        for name, shape in shapes.items():
            if tensors[name].shape != shape:
                raise of_another_configuration(f"{name} has shape {tensors[name].shape}, expected {shape}.")
        self._tensors = tensors

    def encode(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Queries of histories, shape (n, width + 1); the last column is 1. Metadata are passed over."""
        del metadata
        return self._encoded(self.compiled_encoder(), histories, ones=1)

    def compiled_encoder(self) -> Encoder:
        """What makes queries, but for their last column."""
        return self._encoder

    def posterior(self, histories: csr_array) -> tuple[Float32Array, Float32Array]:
        """Mean and log-variance of the codes of histories, shapes (n, latent), of a variational model."""
        features, readers = self._prediction.features, self._prediction.posterior
        found = [self._encoded(self._stack([*features, reader]), histories) for reader in readers]
        mean, log_variance = found if len(found) > 1 else np.split(found[0], 2, axis=1)
        return mean, log_variance

    def item_vectors(self) -> Float32Array:
        """Item vectors, shape (n_items, width + 1); the last column is the bias. They are made once."""
        return self._vectors

    def some_item_vectors(self, start: int, end: int) -> Float32Array:
        """Those of the items from one row to before another, shape (end - start, width + 1)."""
        weight, bias = (self._float(f"output.{part}")[start:end] for part in ("weight", "bias"))
        return np.concatenate([weight, bias[:, None]], axis=1)

    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Scores of all items, shape (n, n_items): unnormalised log-probabilities."""
        return products(self.encode(histories, metadata), self.item_vectors())

    @cached_property
    def _encoder(self) -> Encoder:
        return self._stack(self._prediction.hidden)

    @cached_property
    def _vectors(self) -> Float32Array:
        return self.some_item_vectors(0, self.n_items)

    def _encoded(self, encoder: Encoder, histories: csr_array, ones: int = 0) -> Float32Array:
        check_histories(histories, self.n_items)
        indices, starts = (array.astype(np.int64, copy=False) for array in (histories.indices, histories.indptr))
        return encoder(indices, starts, np.ones(histories.nnz, dtype=np.float32), ones)

    def _stack(self, steps: Sequence[Step]) -> Encoder:
        return Encoder([self._layer(step, is_first=not place) for place, step in enumerate(steps)])

    def _layer(self, step: Step, *, is_first: bool) -> Layer:
        weight, bias = (self._float(f"{step.layer}.{part}") for part in ("weight", "bias"))
        norm = None
        if step.norm is not None:
            gain, shift = (self._float(f"{step.norm.name}.{part}") for part in ("weight", "bias"))
            norm = Norm(gain, shift, step.norm.epsilon)
        packed = weight if is_first else Packed.of(weight)
        return Layer(packed, bias, step.activation, norm, step.adds_before, step.kept)

    def _float(self, name: str) -> Float32Array:
        return np.asarray(self._tensors[name].view(np.float32))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all tensors by name."""
        found: dict[str, tuple[int, ...]] = {}
        for steps in (
            self._prediction.hidden,
            *((*self._prediction.features, one) for one in self._prediction.posterior),
        ):
            before = 0
            for step in steps:
                weight = (step.width, before) if before else (self.n_items, step.width)
                found |= {f"{step.layer}.weight": weight, f"{step.layer}.bias": (step.width,)}
                if step.norm is not None:
                    found |= {f"{step.norm.name}.{part}": (step.width,) for part in ("weight", "bias")}
                before = step.kept or step.width
        width = self._prediction.hidden[-1].width
        return found | {"output.weight": (self.n_items, width), "output.bias": (self.n_items,)}

    def __getstate__(self) -> tuple[int, Any, Tensors]:
        return self._n_items, self.config, self._tensors

    def __setstate__(self, state: tuple[int, Any, Tensors]) -> None:
        n_items, config, tensors = state
        self.__init__(n_items, config)  # type: ignore[misc]
        self._tensors = tensors

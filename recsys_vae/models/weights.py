"""Weights as they come from files: what any model makes sure of before it takes them over."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.arrays import check_finite
from recsys_vae.errors import DataError
from recsys_vae.protocols import Tensors

LARGEST_WEIGHT = 1e8
"""No training ends with larger ones. Two layers of such weights, and squares of them to normalise by, are float32."""


def check_weights(tensors: Tensors, kinds: Mapping[str, np.dtype[Any]]) -> None:
    """Raise DataError where a type is not what it should be, or a weight not finite or beyond what training gives."""
    for name, kind in kinds.items():
        if name in tensors and tensors[name].dtype != kind:
            raise DataError(f"The weights {name} are {tensors[name].dtype}, expected {kind}.")
    for name, value in tensors.items():
        if np.issubdtype(value.dtype, np.floating) and value.size and not _magnitude(value) <= LARGEST_WEIGHT:
            check_finite(name, value)  # NaN is not below it either
            raise DataError(f"The weights {name} go beyond {LARGEST_WEIGHT:g}: scores would overflow.")


def of_another_configuration(reason: object) -> DataError:
    """What to raise where names or shapes do not fit."""
    return DataError(f"These weights belong to a model of another configuration: {reason}")


def _magnitude(values: NDArray[Any]) -> float:
    """The largest absolute value, without a copy."""
    return max(float(values.max()), -float(values.min()))

"""Weighting: what models make of the weights of interactions, in what they are shown and in what they are to predict.

    binary     x_ui = 1
    log        x_ui = log(1 + w_ui) / mean of these over what u likes
    value      x_ui = w_ui / mean of these over what u likes
    disliked   x_ui = -dislikes

Weights are relative to the user's own mean: they add up to the number of items, as binary ones do. So their unit does
not matter, what is set beside a likelihood or a Gram matrix (beta, l2) means what it means beside binary ones, and no
user counts for more because of large numbers. A dislike counts the same whatever its weight: the worst rating is the
smallest number, a return of three the largest.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from recsys_vae.errors import ConfigError
from recsys_vae.models.search_space import OneOf, Real, SearchSpace

if TYPE_CHECKING:  # settings are made and refused without numpy and scipy
    from scipy.sparse import csr_array

BINARY: Final = "binary"
WEIGHTS: Final = (BINARY, "log", "value")
BY_WEIGHT: SearchSpace = {"weights": OneOf(WEIGHTS)}
"""What models with weights add to their search space."""
BY_DISLIKE: SearchSpace = {"dislikes": Real(0.0, 1.0)}
"""What models that take dislikes add."""
OF_WEIGHTS = frozenset({"weights", "input_weights", "target_weights"})
"""Settings that have an effect only where weights differ."""
OF_DISLIKES = frozenset({"dislikes"})
"""Settings that have an effect only where there are dislikes."""


@dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """What weights of interactions mean to a model; by default nothing.

    Attributes:
        weights: `binary`, `log` or `value`: in inputs and targets.
        input_weights: in what the model is shown; as `weights` where empty.
        target_weights: in what it is to predict; as `weights` where empty.
    """

    weights: str = BINARY
    input_weights: str = ""
    target_weights: str = ""

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS or not {self.input_weights, self.target_weights} <= {"", *WEIGHTS}:
            raise ConfigError(
                f"weights are {', '.join(WEIGHTS)}, and those of inputs and targets may be left empty; got weights="
                f"{self.weights!r}, input_weights={self.input_weights!r}, target_weights={self.target_weights!r}."
            )

    @property
    def shown(self) -> str:
        """Weights of the inputs."""
        return self.input_weights or self.weights

    @property
    def wanted(self) -> str:
        """Weights of the targets."""
        return self.target_weights or self.weights

    @property
    def counted(self) -> float:
        """How much a dislike counts."""
        return 0.0

    @property
    def is_plain(self) -> bool:
        """Whether yes or no is all that counts."""
        return self.shown == self.wanted == BINARY and not self.counted

    def inputs(self, histories: "csr_array") -> "csr_array":
        """What the model is shown of histories, shape (n, n_items)."""
        return weighed(histories, self.shown, self.counted)

    def targets(self, histories: "csr_array", *, dislikes: bool) -> "csr_array":
        """What it is to predict of them.

        Args:
            dislikes: also that it is to advise against what is disliked, by negative numbers.
        """
        from recsys_vae.data.signals import liked

        return weighed(histories if dislikes else liked(histories), self.wanted, self.counted if dislikes else 0.0)

    def unwanted(self, histories: "csr_array") -> "csr_array":
        """What is disliked, by numbers above 0 that say how much it counts."""
        import numpy as np

        from recsys_vae.data.histories import binarise
        from recsys_vae.data.signals import disliked

        found = binarise(disliked(histories))
        found.data *= np.float32(self.counted)
        return found


@dataclass(frozen=True, kw_only=True)
class SignedOptions(WeightOptions):
    """The same of models that may take dislikes.

    Attributes:
        dislikes: how much one counts against its item, where a like counts 1; 0: it is not used.
    """

    dislikes: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dislikes < math.inf:
            raise ConfigError(f"dislikes is how much a dislike counts, a number from 0; got {self.dislikes}.")

    @property
    def counted(self) -> float:
        """How much a dislike counts."""
        return self.dislikes


PLAIN = WeightOptions()
"""Of models that have no such settings."""


def options_of(config: object) -> WeightOptions:
    """What the configuration of a model says of weights."""
    return config if isinstance(config, WeightOptions) else PLAIN


def weighed(histories: "csr_array", weights: str, dislikes: float = 0.0) -> "csr_array":
    """Histories with the numbers that stand at the top; the index arrays are shared, not copied.

    Args:
        histories: signed where `dislikes` is above 0, shape (n, n_items).
        weights: one of `WEIGHTS`.
        dislikes: how much one counts.
    """
    import numpy as np
    from scipy.sparse import csr_array

    from recsys_vae.data.histories import binarise

    if weights == BINARY and (not dislikes or not histories.nnz or histories.data.min() > 0):
        return binarise(histories)
    likes = histories.data > 0
    sizes = np.where(likes, histories.data, 0).astype(np.float64)
    if weights == BINARY:
        sizes = likes.astype(np.float64)
    elif weights == "log":
        sizes = np.log1p(sizes)
    owners = np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr))
    sums, counts = (np.bincount(owners, of, minlength=histories.shape[0]) for of in (sizes, likes))
    scale = np.divide(counts, sums, out=np.ones(len(sums)), where=sums > 0)  # of nothing at all, sums are integers
    values = np.where(likes, sizes * scale[owners], -dislikes).astype(np.float32)
    return csr_array((values, histories.indices, histories.indptr), shape=histories.shape)


def without_effect(train: "csr_array", dislikes: "csr_array | None") -> frozenset[str]:
    """Settings that make no difference: of weights where all are equal, of dislikes where none are.

    Args:
        train: interactions that are learned from, shape (n_users, n_items).
        dislikes: what speaks against items there, of the same shape; None for nothing.
    """
    has_weights = bool(train.nnz) and train.data.min() != train.data.max()
    has_dislikes = dislikes is not None and bool(dislikes.nnz)
    return (frozenset() if has_weights else OF_WEIGHTS) | (frozenset() if has_dislikes else OF_DISLIKES)

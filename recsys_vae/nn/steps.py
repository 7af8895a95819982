"""Steps: which layers make a prediction, by name, so that they can be computed with or without torch.

A configuration says them: it is at hand where nothing heavy is imported, and this file imports nothing heavy either.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from recsys_vae.native.encoder import Activation


class Norm(NamedTuple):
    """A layer normalisation, by name, and what is added to the variance."""

    name: str
    epsilon: float


class Step(NamedTuple):
    """A layer and what follows it.

    Attributes:
        layer: its name; its tensors are called `NAME.weight` and `NAME.bias`.
        width: columns that it makes.
        activation: of what the layer has computed.
        norm: of the activations; None for none.
        adds_before: whether what all layers before have found is added, before the activation.
        kept: columns, from the first on, that the next layer sees; all when None.
    """

    layer: str
    width: int
    activation: "Activation" = "none"
    norm: Norm | None = None
    adds_before: bool = False
    kept: int | None = None


class Prediction(NamedTuple):
    """How a model predicts from rows that are divided by their Euclidean norms; the first layer is a sparse one.

    Attributes:
        hidden: steps to the input of the output layer.
        features: steps that end where a code is read; none of models without codes.
        posterior: layers that read the mean of a code and its log-variance there: one for both, or one for each.
    """

    hidden: tuple[Step, ...]
    features: tuple[Step, ...] = ()
    posterior: tuple[Step, ...] = ()

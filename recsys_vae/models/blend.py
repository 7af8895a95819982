"""Blend: an autoencoder and a linear model, each trained alone, their scores added up.

    score(x) = (1 - w) z(autoencoder(x)) + w z(linear(x)),   z: each user's scores less their mean, over their deviation

The two err differently: a linear model in closed form knows which items go together, an autoencoder what kind of user
has such a history, and one that goes by order (`sasrec`, `svae`) what comes next. Logits and similarities have no
common scale; a user's z-scores do.

w is chosen on validation users where the configuration leaves it open.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.signals import shown_to
from recsys_vae.models.configs.blend import BlendConfig, Part
from recsys_vae.protocols import ClosedFormRecommender, Float32Array, Recommender, Tensors, takes_dislikes, takes_order

__all__ = ["Blend", "BlendConfig", "Part", "standardised"]


class Blend:
    """Two models of the catalogue as one. Each is fitted by itself; the weight follows.

    Attributes:
        config: its configuration.
        autoencoder: the part that is trained by gradient.
        linear: the part in closed form.
    """

    def __init__(self, n_items: int, config: BlendConfig) -> None:
        self.config = config
        autoencoder, linear = (part.model_class(n_items, part.config) for part in (config.autoencoder, config.linear))
        from recsys_vae.models.trainable import Trainable

        assert isinstance(autoencoder, Trainable)
        assert isinstance(linear, ClosedFormRecommender)
        self.autoencoder: Trainable = autoencoder
        self.linear: ClosedFormRecommender = linear

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self.linear.n_items

    @property
    def is_signed(self) -> bool:
        """Whether histories may hold dislikes: a part takes them."""
        return takes_dislikes(self.autoencoder) or takes_dislikes(self.linear)

    def weigh(self, weight: float) -> None:
        """Take another weight."""
        self.config = replace(self.config, weight=weight)

    @property
    def is_sequential(self) -> bool:
        """Whether a part goes by the order of histories."""
        return takes_order(self.autoencoder) or takes_order(self.linear)

    def score(self, histories: csr_array, *, order: csr_array | None = None) -> Float32Array:
        """Weighted z-scores, shape (n, n_items).

        Args:
            order: of the histories, for a part that goes by it.
        """
        first, second = (
            standardised(_scores(part, shown_to(part, histories), order)) for part in (self.autoencoder, self.linear)
        )
        first *= 1 - self.config.weight
        second *= self.config.weight
        first += second
        return first

    def tensors(self) -> Tensors:
        """Those of both parts, each name after its part's."""
        parts = {"autoencoder": self.autoencoder.tensors(), "linear": self.linear.tensors()}
        return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over the tensors of both parts.

        Raises:
            DataError: those of a part do not fit it.
        """
        self.autoencoder.load_tensors(_of("autoencoder.", tensors))
        self.linear.load_tensors(_of("linear.", tensors))


def _scores(part: Recommender, histories: csr_array, order: csr_array | None) -> Float32Array:
    return part.score(histories, order=order) if takes_order(part) else part.score(histories)


def standardised(scores: Float32Array) -> Float32Array:
    """Each row less its mean, over its standard deviation, in place; a row of equal scores becomes zeros."""
    scores -= scores.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    deviations = np.sqrt(np.einsum("ij,ij->i", scores, scores) / scores.shape[1])
    scores /= np.where(deviations > 0, deviations, 1.0).astype(np.float32)[:, None]
    return scores


def _of(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

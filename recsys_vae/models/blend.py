"""Blend: an autoencoder, a linear model and any number of further models, each trained alone, their scores added up.

    score(x) = sum_p w_p z(p(x)),   w_p >= 0,   sum_p w_p = 1

over its parts p; z: each user's scores less their mean, over their deviation.

The two err differently: a linear model in closed form knows which items go together, an autoencoder what kind of user
has such a history, and one that goes by order (`sasrec`, `svae`) what comes next. Logits and similarities have no
common scale; a user's z-scores do.

The shares w are chosen on validation users where the configuration leaves them open.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.signals import shown_to
from recsys_vae.models.configs.blend import BlendConfig, Part, Parts
from recsys_vae.protocols import ClosedFormRecommender, Float32Array, Recommender, Tensors, takes_dislikes, takes_order

__all__ = ["Blend", "BlendConfig", "Part", "Parts", "standardised"]
MORE = "more"
"""Setting that names further parts."""


class Blend:
    """Models of the catalogue as one. Each is fitted by itself; the shares follow.

    Attributes:
        config: its configuration.
        autoencoder: the part that is trained by gradient.
        linear: the part in closed form.
        more: further parts.

    Args:
        parts: models of this configuration that were fitted alone, in the order of the shares; new ones when not given.
    """

    def __init__(self, n_items: int, config: BlendConfig, parts: Sequence[Recommender] = ()) -> None:
        self.config = config
        autoencoder, linear, *more = parts or _made(n_items, config)
        from recsys_vae.models.trainable import Trainable

        assert isinstance(autoencoder, Trainable)
        assert isinstance(linear, ClosedFormRecommender)
        self.autoencoder: Trainable = autoencoder
        self.linear: ClosedFormRecommender = linear
        self.more: list[Recommender] = more

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self.linear.n_items

    @property
    def is_signed(self) -> bool:
        """Whether histories may hold dislikes: a part takes them."""
        return any(map(takes_dislikes, self.parts))

    @property
    def parts(self) -> tuple[Recommender, ...]:
        """All of them, in the order of the shares."""
        return (self.autoencoder, self.linear, *self.more)

    def weigh(self, weight: float) -> None:
        """Take another weight of the linear part; the autoencoder has the rest."""
        self.config = replace(self.config, weight=weight)

    def share_out(self, shares: Sequence[float]) -> None:
        """Take other shares, in the order of the parts; further parts with none stay, and are not asked."""
        more = (replace(part, share=share) for part, share in zip(self.config.more, shares[2:], strict=True))
        self.config = replace(self.config, weight=shares[1], more=Parts(more))

    def drop_idle(self) -> None:
        """Leave further parts without a share out."""
        self.more = [model for model, part in zip(self.more, self.config.more, strict=True) if part.share]
        self.config = replace(self.config, more=Parts(part for part in self.config.more if part.share))

    @property
    def is_sequential(self) -> bool:
        """Whether a part goes by the order of histories."""
        return any(map(takes_order, self.parts))

    def score(self, histories: csr_array, *, order: csr_array | None = None) -> Float32Array:
        """Weighted z-scores, shape (n, n_items).

        Args:
            order: of the histories, for a part that goes by it.
        """
        found: Float32Array | None = None
        for place, (part, share) in enumerate(zip(self.parts, self.config.shares, strict=True)):
            if place > 1 and not share:
                continue
            scores = standardised(_scores(part, shown_to(part, histories), order))
            scores *= np.float32(share)
            found = scores if found is None else np.add(found, scores, out=found)
        assert found is not None
        return found

    def tensors(self) -> Tensors:
        """Those of all parts, each name after its part's."""
        return {f"{part}.{name}": tensor for part, model in self._named for name, tensor in model.tensors().items()}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over the tensors of all parts.

        Raises:
            DataError: those of a part do not fit it.
        """
        for part, model in self._named:
            model.load_tensors(_of(f"{part}.", tensors))

    @property
    def _named(self) -> list[tuple[str, Recommender]]:
        names = ("autoencoder", "linear", *(f"{MORE}.{number}" for number in range(1, 1 + len(self.more))))
        return list(zip(names, self.parts, strict=True))


def _made(n_items: int, config: BlendConfig) -> list[Recommender]:
    parts = (config.autoencoder, config.linear, *config.more)
    return [part.model_class(n_items, part.config) for part in parts]


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

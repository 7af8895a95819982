"""Settings of SVAE: what they mean is told in `models/svae.py`."""

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.configs.mult_vae import check_dropout
from recsys_vae.models.entry import Traits
from recsys_vae.models.search_space import OneOf, Real, SearchSpace, Whole


@dataclass(frozen=True)
class SVAEConfig:
    """Widths, as in the paper, and how far ahead it looks.

    Attributes:
        embedding: width of item embeddings.
        recurrent: of the recurrent layer.
        hidden: of the decoder's hidden layer.
        latent: dimensions of the code.
        ahead: k, items that each code is to tell.
        length: inputs of the longest window.
        dropout: share of the numbers of an embedding that is dropped.
    """

    TRAITS: ClassVar[Traits] = Traits(by_gradient=True, variational=True, sequential=True)
    TRAINING: ClassVar[dict[str, Any]] = {"batch_size": 32, "epochs": 60, "patience": 5}
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        "learning_rate": Real(3e-4, 1e-2, log=True),
        "batch_size": OneOf((32, 64, 128, 256, 500)),
        "recurrent": Whole(100, 400, step=100),
        "latent": OneOf((32, 64, 128)),
        "ahead": Whole(1, 8),
        "dropout": Real(0.0, 0.5),
        "kl_weight": Real(0.01, 1.0, log=True),
    }

    embedding: int = 256
    recurrent: int = 200
    hidden: int = 150
    latent: int = 64
    ahead: int = 4
    length: int = 200
    dropout: float = 0.2

    def __post_init__(self) -> None:
        sizes = (self.embedding, self.recurrent, self.hidden, self.latent, self.ahead, self.length)
        if min(sizes) < 1:
            raise ConfigError(f"Widths, ahead and length are at least 1; got {', '.join(map(str, sizes))}.")
        check_dropout(self.dropout)

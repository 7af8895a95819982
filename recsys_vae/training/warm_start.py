"""Warm start: training goes on from what a model has learned, on new data and some of the old, for a few epochs.

Weights are carried over by item (`models.transfer`). A pass has whoever is new or has done something new, and a sample
of all others, drawn anew for each, so that what was learned of them is not forgotten. beta stays where the parent's
schedule ended: beginning again at 0 would unlearn the code. Adam's moments begin anew; the learning rate begins lower
and falls to 0.
"""

import math
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.blend import Blend
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.transfer import transfer
from recsys_vae.protocols import BoolArray, Int64Array, Recommender
from recsys_vae.settings import setting
from recsys_vae.training.batches import Replay
from recsys_vae.training.config import ADAM, FLOAT32, TrainingConfig


@dataclass(frozen=True)
class WarmStartConfig:
    """Settings of a warm start; the defaults are chosen on validation users of MovieLens 1M, see docs/lifecycle.md."""

    epochs: int = setting(16, "Passes over the users whom one has; rounds, of a model whose parts take turns.")
    replay: float = setting(0.3, "Share of the users without news that a pass has too, drawn anew for each.")
    learning_rate: float = setting(0.5, "Share of the learning rate of the first training.")
    learning_rate_decay: float = setting(1.0, "Share of the steps, the last ones, over which it falls to 0.")
    patience: int = setting(0, "Epochs without a better validation value before stopping; 0: never.")
    neighbours: int = setting(50, "Familiar items of which a new one is made where there is no content.")

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.neighbours < 1 or self.patience < 0:
            raise ConfigError(
                "epochs and neighbours of a warm start are at least 1 and patience at least 0; got "
                f"{self.epochs}, {self.neighbours} and {self.patience}."
            )
        if not (0 <= self.replay <= 1 and 0 < self.learning_rate <= 1 and 0 <= self.learning_rate_decay <= 1):
            raise ConfigError(
                "replay, learning_rate and learning_rate_decay of a warm start are shares, 0 to 1, the second above 0; "
                f"got {self.replay}, {self.learning_rate} and {self.learning_rate_decay}."
            )


@dataclass(frozen=True, eq=False)
class WarmStart:
    """What training goes on from.

    Attributes:
        parent: the model that has learned; of a blend its autoencoder goes on, and its linear part is solved again.
        rows: the parent's row of each item of the new data, shape (n_items,); -1 for new items.
        has_news: whether a user is new or has done something new, shape (n_users,).
        epochs_before: of the parent's training, where its KL schedule stands.
        number: which warm start since the last training from fresh weights, from 1: each draws anew.
        content: of the items, shape (n_items, n_features): where new ones begin; neighbours where it is None.
        config: how.
    """

    parent: Recommender
    rows: Int64Array
    has_news: BoolArray
    epochs_before: int
    number: int = 1
    content: csr_array | None = None
    config: WarmStartConfig = field(default_factory=WarmStartConfig)

    @property
    def learner(self) -> Trainable:
        """The part of the parent that goes on.

        Raises:
            ConfigError: none is trained by gradient.
        """
        learner = self.parent.autoencoder if isinstance(self.parent, Blend) else self.parent
        if not isinstance(learner, Trainable):
            raise ConfigError(f"{type(learner).__name__} is solved in closed form: there is no training to go on with.")
        return learner

    def begin(self, model: Trainable, interactions: csr_array, order: csr_array | None = None) -> None:
        """Give a model over the new data's items what its parent knows, in place; see `models.transfer.transfer`.

        Args:
            order: of the interactions, for models that go by it.

        Raises:
            DataError: the flags are of other users.
        """
        if self.has_news.shape != (n_users := interactions.shape[0],):
            raise DataError(f"Expected whether each of {n_users} users has news, got {self.has_news.shape} flags.")
        near = self.config.neighbours
        transfer(self.learner, model, self.rows, interactions, order=order, content=self.content, neighbours=near)

    def training(self, first: TrainingConfig) -> TrainingConfig:
        """How to go on from a training with these settings."""
        turns = self.learner.epochs_a_round
        return replace(
            first,
            epochs=self.config.epochs * turns,
            patience=self.config.patience * turns,
            learning_rate=first.learning_rate * self.config.learning_rate,
            learning_rate_decay=self.config.learning_rate_decay,
            kl_weight=kl_weight_after(first, self.epochs_before),
            kl_anneal=0.0,
            kl_cycles=1,
            shard_items=False,  # one process goes on, from whole tables
            table_optimizer=ADAM,
            table_precision=FLOAT32,
            seed=first.seed + self.number,
        )

    @property
    def replay(self) -> Replay:
        """Whom an epoch has."""
        return Replay(self.has_news, self.config.replay)

    def fingerprint(self) -> str:
        """SHA-256 of what training begins with, in hexadecimal."""
        digest = sha256(repr((self.number, self.config)).encode())
        for name, tensor in sorted(self.learner.tensors().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor).data)
        digest.update(np.ascontiguousarray(self.rows, dtype="<i8").data)
        digest.update(np.packbits(self.has_news).data)
        return digest.hexdigest()


def kl_weight_after(training: TrainingConfig, epochs: int) -> float:
    """Beta of the last step of so many epochs of a training; its final value where that is unknown (0)."""
    progress = min(1.0, epochs / training.epochs) if epochs else 1.0
    return training.kl_weight_at(math.nextafter(progress, 0.0))  # at the end of a cycle the next one begins at 0

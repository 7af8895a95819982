"""Learning: trees that put what users took first, by LambdaMART.

How many trees there are is chosen on users: each fold of them is held out in turn, and asked after every tree. The
trees that stay are learned from all users.

Source: Burges, From RankNet to LambdaRank to LambdaMART: An Overview, MSR-TR-2010-82. Ke et al., LightGBM: A Highly
Efficient Gradient Boosting Decision Tree, NeurIPS 2017.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.extras import Deferred
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.second_stage.candidates import places_in
from recsys_vae.second_stage.trees import Trees

lightgbm: Any = Deferred("lightgbm")


@dataclass(frozen=True)
class LearningConfig:
    """How trees are learned.

    Attributes:
        leaves: of a tree, at least 2.
        learning_rate: what a tree counts for.
        least: pairs in a leaf.
        most_trees: at most.
        patience: trees that may come without a gain on held-out users.
        folds: of users, at least 2.
        at: NDCG is looked at so deep.
        seed: of folds and trees.
    """

    leaves: int = 15
    learning_rate: float = 0.05
    least: int = 50
    most_trees: int = 500
    patience: int = 40
    folds: int = 5
    at: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.leaves, self.folds) < 2 or min(self.least, self.most_trees, self.patience, self.at) < 1:
            raise ConfigError("leaves and folds are at least 2, least, most_trees, patience and at at least 1.")
        if not 0 < self.learning_rate <= 1:
            raise ConfigError(f"learning_rate is above 0, at most 1; got {self.learning_rate}.")


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of pairs, and what came of them.

    Attributes:
        features: shape (n, n_features).
        taken: which pairs the user took, shape (n,).
        lists: number of the list that each stands in, ascending, shape (n,).
        users: whose it is, shape (n,).
    """

    features: Float32Array
    taken: BoolArray
    lists: Int64Array
    users: Int64Array

    def take(self, chosen: BoolArray) -> "Lists":
        """Some of the pairs."""
        return Lists(self.features[chosen], self.taken[chosen], self.lists[chosen], self.users[chosen])

    def informative(self) -> "Lists":
        """The lists of which something was taken and something left."""
        return self.take(np.isin(self.lists, np.intersect1d(self.lists[self.taken], self.lists[~self.taken])))


@dataclass(frozen=True, eq=False)
class Learned:
    """Trees, and what they were chosen by.

    Attributes:
        trees: learned from all users.
        lists: what was learned from.
        held_out_scores: of its pairs, by trees that have not seen their users, shape (n,).
    """

    trees: Trees
    lists: Lists
    held_out_scores: NDArray[np.float64]


def learn(lists: Lists, config: LearningConfig) -> Learned:
    """Learn trees from lists.

    Raises:
        DataError: fewer users than folds have a list of which something was taken and something left.
    """
    lists = lists.informative()
    check_enough(len(np.unique(lists.users)), config)
    data, settings, folds = _dataset(lists), _settings(config), _folds(lists.users, config)
    stop = lightgbm.early_stopping(config.patience, verbose=False)
    found = lightgbm.cv(settings, data, config.most_trees, folds=folds, callbacks=[stop], return_cvbooster=True)
    n_trees = len(found[f"valid ndcg@{config.at}-mean"])
    scores = np.zeros(len(lists.users))
    for booster, (_, asked) in zip(found["cvbooster"].boosters, folds, strict=True):
        scores[asked] = booster.predict(lists.features[asked], raw_score=True, num_iteration=n_trees)
    whole = lightgbm.train(settings, data, n_trees)
    return Learned(Trees(whole.model_to_string(), lists.features.shape[1]), lists, scores)


def check_enough(n_users: int, config: LearningConfig) -> None:
    """Raise DataError where fewer users than folds have a list of which something was taken and something left."""
    if n_users < config.folds:
        raise DataError(
            f"{n_users} users have a list of which they took something and left something; trees are chosen on "
            f"{config.folds} folds of users. Hold out more users, or take more candidates."
        )


def ndcg(lists: Lists, scores: NDArray[np.floating[Any]], at: int) -> float:
    """Mean NDCG of lists of which something was taken, the ideal one being of what was taken among their pairs."""
    places = places_in(lists.lists, scores)
    _, numbers = np.unique(lists.lists, return_inverse=True)
    gains = np.where(lists.taken & (places <= at), 1 / np.log2(1 + places), 0)
    ideal = np.cumsum(1 / np.log2(2 + np.arange(at)))[np.minimum(np.bincount(numbers, lists.taken).astype(int), at) - 1]
    return float(np.mean(np.bincount(numbers, gains) / ideal))


def _dataset(lists: Lists) -> Any:
    _, sizes = np.unique(lists.lists, return_counts=True)
    return lightgbm.Dataset(lists.features, lists.taken.astype(np.int32), group=sizes, free_raw_data=False)


def _settings(config: LearningConfig) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [config.at],
        "label_gain": [0, 1],
        "lambdarank_truncation_level": config.at,
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.least,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": torch.get_num_threads(),
        "verbosity": -1,
    }


def _folds(users: Int64Array, config: LearningConfig) -> list[tuple[Int64Array, Int64Array]]:
    """Pairs to learn from, and pairs that are held out; of a user all are one or the other."""
    _, numbers = np.unique(users, return_inverse=True)
    drawn = np.random.default_rng(config.seed).permutation(numbers.max() + 1) % config.folds
    folds = drawn[numbers]
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(config.folds)]

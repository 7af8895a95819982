"""The world of the cold-start benchmark: MovieLens 1M with demographics and genres, and the users who are asked."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipelines.dataset.cold_start_users import places
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.user_features import UserMetadata
from pipelines.training.fit import Fitted, fit
from pipelines.training.model_settings import read_settings, specify
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut, Split
from recsys_vae.protocols import Scorer
from tests.benchmarks.quickstart import POSITIVES, STRONG, prepared

CONFIG = Path(__file__).parent / "configs" / "cold-start" / "conditional-vae.toml"
METRICS = ("recall@20", "ndcg@100")
SHOWN, LEAST = 20, 25
DATASET = "bench-cold-start"


@cache
def split() -> Split:
    """MovieLens 1M, ingested with its fields and cut as `ml_1m` is."""
    return prepared(DATASET, "movielens-1m", POSITIVES, STRONG)


@cache
def dataset() -> DatasetDir:
    """The dataset of the split."""
    split()
    return DatasetDir.open(DATASET)


@cache
def known() -> UserMetadata:
    """Demographics, as the training users have them."""
    return UserMetadata.learn(dataset(), split().train.users)


@cache
def cold_start_users(part: str) -> ColdStartUsers:
    """The users of a part who are asked."""
    users = split().part(part).users
    order = places(dataset(), users, split().train.items)
    return ColdStartUsers.after_the_first(users, order, known().rows(users.values), shown=SHOWN, least=LEAST)


def fitted(seed: int, training: csr_array, validation: ColdStartUsers) -> Fitted:
    """The conditional VAE as configured, its epoch chosen on newcomers."""
    chosen = read_settings(CONFIG)
    spec = specify(chosen.model, {**chosen.settings, "seed": seed}).with_schema(known().schema)
    metadata = known().rows(split().train.users.values)
    return fit(spec, training, validation=validation.asked_at_all(), metadata=metadata)


def asked(systems: dict[str, Scorer], part: HeldOut) -> dict[str, dict[str, str]]:
    """The values of each user by system and metric, as one line of text each."""
    return {
        name: {metric: written(values) for metric, values in evaluate(system, part, METRICS).per_user.items()}
        for name, system in systems.items()
    }


def written(values: NDArray[np.float64]) -> str:
    """Numbers as one line."""
    return " ".join(f"{value:.5f}" for value in values)

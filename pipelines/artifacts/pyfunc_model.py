"""The bundle as an MLflow model: the file that MLflow copies beside the bundle and runs where the model is served.

MLflow's models-from-code flavour executes this file instead of unpickling an object. It stands alone on purpose: it
imports recsys_vae, whose source travels with the model, and nothing of pipelines.

In:  one row a user. `history`: list of item ids, least recent first, may be empty. `k`: items
     wanted, 10 where the column is absent.
     `weights`: of the history's items, as many, above 0; 1 where the column is absent or a value null.
     `dislikes`: list of item ids that the user dislikes: never recommended, and shown to models that take them.
     `metadata`: what else is known, by field of the bundle's schema; the column may be absent, a value null.
Out: one row a user. `item_ids` and `scores`, best first; `tier` that answered; `unknown_items` of the history.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.histories import binary_histories
from recsys_vae.data.ids import IdMap
from recsys_vae.data.sequences import order_of_lists
from recsys_vae.data.signals import signed
from recsys_vae.errors import RecsysError
from recsys_vae.protocols import Int64Array
from recsys_vae.recommender import FallbackChain

DEFAULT_K = 10
MAX_K = 1000


class BundleModel(PythonModel):
    """Answers frames of histories from one bundle, through the same fallback chain as batch jobs and service."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load and verify the bundle."""
        self.chain = FallbackChain(Bundle.load(Path(context.artifacts["bundle"])))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Recommend; a bad request becomes the error that MLflow's server answers with status 400."""
        try:
            return recommend(self.chain, model_input)
        except RecsysError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def recommend(chain: FallbackChain, frame: pd.DataFrame) -> pd.DataFrame:
    """One answer a row, in the order of the rows."""
    wanted = frame["k"].to_numpy(np.int64) if "k" in frame else np.full(len(frame), DEFAULT_K)
    if len(frame) and not 1 <= wanted.min() <= wanted.max() <= MAX_K:
        raise MlflowException.invalid_parameter_value(f"k must lie in 1..{MAX_K}, got {wanted.min()}..{wanted.max()}.")
    items = chain.bundle.items
    lists = [list(history) for history in frame["history"]]
    item_rows = items.rows([item for history in lists for item in history])
    lengths = [len(history) for history in lists]
    histories = signed(_matrix(lists, items, _weights(frame, lists)), _disliked(frame, items))
    order = _order(item_rows, lengths, len(items)) if chain.is_sequential else None
    answers = chain.recommend(histories, int(wanted.max(initial=1)), metadata=_metadata(chain, frame), order=order)
    kept = [rows[:k][rows[:k] >= 0] for rows, k in zip(answers.rows, wanted, strict=True)]
    known = iter((item_rows >= 0).tolist())
    return pd.DataFrame(
        {
            "item_ids": [items.ids(rows) for rows in kept],
            "scores": [scores[: len(rows)].tolist() for scores, rows in zip(answers.scores, kept, strict=True)],
            "tier": list(answers.tiers),
            "unknown_items": [[item for item in history if not next(known)] for history in lists],
        }
    )


def _matrix(lists: list[list[str]], items: IdMap, weights: np.ndarray | None = None) -> csr_array:
    owners = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    rows = items.rows([item for one in lists for item in one])
    if weights is None:
        return binary_histories(owners, rows, len(lists), len(items))
    known = rows >= 0
    matrix = csr_array((weights[known], (owners[known], rows[known])), shape=(len(lists), len(items)))
    matrix.sum_duplicates()
    return matrix


def _weights(frame: pd.DataFrame, lists: list[list[str]]) -> np.ndarray | None:
    if "weights" not in frame:
        return None
    given = [
        [1.0] * len(one) if _is_absent(told) else list(told) for told, one in zip(frame["weights"], lists, strict=True)
    ]
    if any(len(some) != len(one) for some, one in zip(given, lists, strict=True)):
        raise MlflowException.invalid_parameter_value("weights are as many as the items of the history, row by row.")
    return np.array([weight for some in given for weight in some], dtype=np.float32)


def _disliked(frame: pd.DataFrame, items: IdMap) -> csr_array | None:
    if "dislikes" not in frame:
        return None
    return _matrix([[] if _is_absent(told) else list(told) for told in frame["dislikes"]], items)


def _is_absent(value: object) -> bool:
    return not isinstance(value, list | tuple | np.ndarray)


def _order(item_rows: Int64Array, lengths: list[int], n_items: int) -> csr_array:
    ends = np.cumsum(lengths, dtype=np.int64)
    return order_of_lists(
        [item_rows[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)], n_items
    )


def _metadata(chain: FallbackChain, frame: pd.DataFrame) -> csr_array | None:
    schema = chain.bundle.tiers.schema
    if schema is None or "metadata" not in frame:
        return None
    return schema.encode([record if isinstance(record, Mapping) else {} for record in frame["metadata"]])


set_model(BundleModel())

"""LightFM (Kula 2015), a hybrid factorisation, on cold users. Runs in the peer's environment.

    .venv-peers-lightfm/bin/python -m tests.benchmarks.peers.lightfm_models QUESTIONS.npz

Each line of standard input is a job, {"settings", "epochs", "seed", "length", "lists"}; each is answered with one line.
Users are described by their demographics and by a column of their own, as the library's documentation has it. Held-out
users have the latter too: LightFM folds nobody in, so it learns from their first `length` items together with the
training users. `epochs` lists when to ask the validation users; the lists written are those of the best stop.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightfm
import numpy as np
from lightfm import LightFM
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, identity, vstack

from tests.benchmarks.peers.exchange import K, ndcg, serve, top_lists

Questions = dict[str, csr_matrix]


def read_questions(path: Path) -> Questions:
    """Matrices by name: train, `places` of validation and test, `features` of all three; validation targets."""
    with np.load(path, allow_pickle=False) as arrays:
        names = {key.partition(".")[0] for key in arrays.files}
        return {
            name: csr_matrix(
                tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr")), shape=arrays[f"{name}.shape"]
            )
            for name in names
        }


def first_items(places: csr_matrix, length: int) -> csr_matrix:
    """The first items of each user, as ones."""
    chosen = places.copy()
    chosen.data = (chosen.data <= length).astype(np.float32)
    chosen.eliminate_zeros()
    return chosen


def lists_of(model: LightFM, rows: NDArray[np.int64], features: csr_matrix, seen: csr_matrix) -> NDArray[np.int64]:
    """The 100 best unseen items of users, shape (n, 100)."""
    item_biases, items = model.get_item_representations()
    user_biases, users = model.get_user_representations(features[rows])
    return top_lists(users @ items.T + item_biases + user_biases[:, None], seen, K)


def run(job: dict[str, Any], asked: Questions) -> dict[str, Any]:
    """Fit one model, ask the validation users at each stop, and write the test lists of the best one."""
    shown = {part: first_items(asked[f"{part}_places"], job["length"]) for part in ("validation", "test")}
    interactions = vstack([asked["train"], shown["validation"], shown["test"]]).tocoo()
    demographics = vstack([asked[f"{part}_features"] for part in ("train", "validation", "test")])
    features = hstack([demographics, identity(demographics.shape[0], dtype=np.float32)]).tocsr()
    n_train, n_validation = asked["train"].shape[0], shown["validation"].shape[0]
    validation, test = np.arange(n_train, n_train + n_validation), np.arange(n_train + n_validation, features.shape[0])
    # A user without any item has a column that nothing has taught: only the demographics speak.
    if job["length"] == 0:
        features = hstack([demographics, identity(demographics.shape[0], dtype=np.float32)]).tolil()
        features[n_train:, demographics.shape[1] :] = 0
        features = features.tocsr()
    model, values, best = LightFM(**job["settings"], random_state=job["seed"]), dict[int, float](), None
    started = time.perf_counter()
    for done, wanted in pairwise([0, *job["epochs"]]):
        model.fit_partial(interactions, user_features=features, epochs=wanted - done, num_threads=1)
        found = lists_of(model, validation, features, shown["validation"])
        values[wanted] = ndcg(found, asked["validation_targets"])
        if values[wanted] == max(values.values()):
            best = lists_of(model, test, features, shown["test"])
    if job.get("lists") and best is not None:
        np.save(job["lists"], best)
    return {
        "validation_ndcg@100": max(values.values()),
        "validation_by_epochs": values,
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"rectools-lightfm": lightfm.__version__, "numpy": np.__version__},
    }


def main() -> None:
    """Answer jobs until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    asked = read_questions(parser.parse_args().questions)
    serve(lambda job: run(job, asked))


if __name__ == "__main__":
    main()

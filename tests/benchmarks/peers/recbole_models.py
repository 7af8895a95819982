"""RecBole's MultiVAE, RecVAE and EASE, trained by RecBole's own code. Runs in the peer's environment.

    .venv-peers-recbole/bin/python -m tests.benchmarks.peers.recbole_models SPLIT.npz

Each line of standard input is a job, {"model", "settings", "seed", "lists"}; each is answered with one line. Model
class, loss, batches, optimizer, epochs and early stopping are RecBole's; the question asked after each epoch is ours:
held-out users, whose fold-in histories take the place of the training histories, scored by the model's
`full_sort_predict`.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import recbole
import torch
from numpy.typing import NDArray
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed
from scipy.sparse import csr_matrix

from tests.benchmarks.peers.exchange import PeerSplit, ndcg, read_split, serve, top_lists
from tests.benchmarks.peers.recbole_data import (
    Catalogue,
    configuration,
    padded,
    scratch,
    training_data,
    write_atomic_file,
)


def scores_of(model: Any, histories: csr_matrix, catalogue: Catalogue) -> NDArray[np.floating]:
    """Scores of users outside the training data, shape (n, n_items): their histories stand in for the model's own."""
    theirs = catalogue.histories(histories)
    kept = {
        name: getattr(model, name, None) for name in ("history_item_id", "history_item_value", "interaction_matrix")
    }
    if kept["interaction_matrix"] is None:
        model.history_item_id, model.history_item_value = padded(theirs)
    else:
        model.interaction_matrix = theirs
    model.eval()
    with torch.no_grad():
        everyone = Interaction({model.USER_ID: torch.arange(theirs.shape[0])})
        flat = np.asarray(model.full_sort_predict(everyone))
    for name, value in kept.items():
        if value is not None:
            setattr(model, name, value)
    return catalogue.scores(flat.reshape(theirs.shape[0], -1))


def validated(model: Any, split: PeerSplit, catalogue: Catalogue) -> float:
    """NDCG@100 on the validation users."""
    lists = top_lists(scores_of(model, split.validation_histories, catalogue), split.validation_histories)
    return ndcg(lists, split.validation_targets)


def trained(model: Any, config: Any, loader: Any, split: PeerSplit, catalogue: Catalogue) -> dict[str, Any]:
    """Train by RecBole's trainer of this model and load the best epoch's weights; says which it was."""
    values: list[float] = []

    class Trainer(get_trainer(config["MODEL_TYPE"], config["model"])):  # type: ignore[misc]
        def _valid_epoch(self, valid_data: PeerSplit, show_progress: bool = False) -> tuple[float, dict[str, float]]:
            values.append(validated(self.model, valid_data, catalogue))
            return values[-1], {"ndcg@100": values[-1]}

    trainer = Trainer(config, model)
    trainer.fit(loader, split, verbose=False, saved=True)
    saved = Path(trainer.saved_model_file)
    model.load_state_dict(torch.load(saved, weights_only=False)["state_dict"])
    saved.unlink()
    return {"best_epoch": int(np.argmax(values)) + 1, "epochs": len(values), "validation_by_epoch": values}


def run(job: dict[str, Any], split: PeerSplit) -> dict[str, Any]:
    """Train one model and answer with its validation value; write its test lists where the job names a file."""
    started, cpu = time.perf_counter(), time.process_time()
    config = configuration(job["model"], scratch(), job["settings"], job["seed"])
    loader, catalogue = training_data(config, split.train.shape[1])
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(config["model"])(config, loader._dataset).to(config["device"])
    prepared = time.perf_counter()
    # EASE is solved in its constructor: its trainer has nothing to do.
    epochs = {} if job["model"] == "EASE" else trained(model, config, loader, split, catalogue)
    found = {"validation_ndcg@100": validated(model, split, catalogue), **epochs}
    if job.get("lists"):
        np.save(job["lists"], top_lists(scores_of(model, split.test_histories, catalogue), split.test_histories))
    return found | {
        "preparation_seconds": round(prepared - started, 1),
        "training_seconds": round(time.perf_counter() - prepared, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "versions": {"recbole": recbole.__version__, "torch": torch.__version__, "numpy": np.__version__},
    }


def main() -> None:
    """Answer jobs until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    split = read_split(parser.parse_args().split.resolve())
    write_atomic_file(split.train, scratch())
    os.chdir(scratch())  # RecBole writes logs into the working directory
    serve(lambda job: run(job, split))


if __name__ == "__main__":
    main()

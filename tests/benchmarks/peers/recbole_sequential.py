"""RecBole's SASRec, trained by RecBole's own code and loader. Runs in the peer's environment.

    .venv-peers-recbole/bin/python -m tests.benchmarks.peers.recbole_sequential SEQUENCES.npz

`SEQUENCES.npz` holds every user's items in the order of time, the validation item last but one and the test item last:
RecBole's own leave-one-out (`LS: valid_and_test`) cuts it alike. Each line of standard input is a job, answered with
one line: {"steps": n} runs n training steps and tells samples and seconds; {"train": {...}, "lists": FILE} trains to
the end, early stopping by RecBole's NDCG@10 on its validation items, all items ranked, and writes 100 items a user.
Seen items are taken off those lists, as everywhere here; RecBole leaves them in.
"""

import argparse
import os
import sys
import time
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed

from tests.benchmarks.peers.exchange import K, serve
from tests.benchmarks.peers.recbole_data import NAME, scratch


def write_file(items: np.ndarray, starts: np.ndarray, folder: Path) -> None:
    """Sequences in RecBole's file format, places as times."""
    (folder / NAME).mkdir(parents=True, exist_ok=True)
    users = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    places = np.arange(len(items)) - starts[users]
    lines = "\n".join(f"{user}\t{item}\t{place}" for user, item, place in zip(users, items, places, strict=True))
    (folder / NAME / f"{NAME}.inter").write_text(f"user_id:token\titem_id:token\ttimestamp:float\n{lines}\n")


def configuration(settings: dict[str, Any], seed: int) -> Config:
    """RecBole's defaults for SASRec, its loss the softmax over all items, with settings set over them."""
    sys.argv = sys.argv[:1]  # Config reads the command line too
    ours = {
        "data_path": str(scratch()),
        "checkpoint_dir": str(scratch() / "saved"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
        "train_neg_sample_args": None,
        "metrics": ["NDCG", "Hit"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "use_gpu": False,
        "show_progress": False,
        "seed": seed,
    }
    return Config(model="SASRec", dataset=NAME, config_dict=ours | settings)


class Peer:
    """A model with its loaders."""

    def __init__(self, settings: dict[str, Any], seed: int) -> None:
        self.config = configuration(settings, seed)
        init_seed(seed, self.config["reproducibility"])
        dataset = create_dataset(self.config)
        self.train, self.validation, _ = data_preparation(self.config, dataset)
        self.model = get_model("SASRec")(self.config, self.train._dataset).to(self.config["device"])
        self.trainer = get_trainer(self.config["MODEL_TYPE"], "SASRec")(self.config, self.model)
        self.tokens = dataset.field2token_id[dataset.iid_field]

    def steps(self, n: int) -> dict[str, Any]:
        """Speed of n steps of training."""
        started, cpu = time.perf_counter(), time.process_time()
        self.trainer._train_epoch(islice(iter(self.train), n), 0)
        return {
            "steps": n,
            "steps_an_epoch": len(self.train),
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu,
        }

    def trained(self) -> dict[str, Any]:
        """Train to the end and load the best weights."""
        started, cpu = time.perf_counter(), time.process_time()
        value, _ = self.trainer.fit(self.train, self.validation, verbose=False, saved=True)
        saved = Path(self.trainer.saved_model_file)
        self.model.load_state_dict(torch.load(saved, weights_only=False)["state_dict"])
        saved.unlink()
        told = {"validation_ndcg@10": float(value), "seconds": time.perf_counter() - started}
        return told | {"cpu_seconds": time.process_time() - cpu}

    def lists(self, items: np.ndarray, starts: np.ndarray, n_items: int) -> np.ndarray:
        """100 items a user after all but the last of the sequence, -1 beyond the last, shape (n_users, 100)."""
        longest, columns = self.config["MAX_ITEM_LIST_LENGTH"], np.zeros(n_items, dtype=np.int64)
        for token, column in self.tokens.items():
            if token != "[PAD]":
                columns[int(token)] = column
        found = np.full((len(starts) - 1, K), -1, dtype=np.int64)
        self.model.eval()
        for user, (start, end) in enumerate(pairwise(starts.tolist())):
            seen = items[start : end - 1]
            shown = np.zeros((1, longest), dtype=np.int64)
            recent = columns[seen[-longest:]]
            shown[0, : len(recent)] = recent
            asked = {self.model.ITEM_SEQ: torch.from_numpy(shown)}
            asked[self.model.ITEM_SEQ_LEN] = torch.tensor([len(recent)])
            with torch.no_grad():
                scores = self.model.full_sort_predict(Interaction(asked)).numpy()[0][columns]
            scores[columns == 0] = -np.inf
            scores[seen] = -np.inf
            best = np.argsort(-scores, kind="stable")[:K]
            best = best[np.isfinite(scores[best])]
            found[user, : len(best)] = best
        return found


def main() -> None:
    """Answer jobs until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequences", type=Path)
    kept = np.load(parser.parse_args().sequences.resolve())
    items, starts, n_items = kept["items"], kept["starts"], int(kept["n_items"])
    write_file(items, starts, scratch())
    os.chdir(scratch())  # RecBole writes logs into the working directory
    speed: list[Peer] = []

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        if "steps" in job:
            if not speed:
                speed.append(Peer(job.get("settings", {}), 0))
            return speed[0].steps(job["steps"])
        peer = Peer(job["train"], job["seed"])
        told = peer.trained()
        np.save(job["lists"], peer.lists(items, starts, n_items))
        return told

    serve(answer)


if __name__ == "__main__":
    main()

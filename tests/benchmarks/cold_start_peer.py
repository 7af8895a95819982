"""LightFM on the questions of the cold-start benchmark: the same users, items, demographics, inputs and targets.

Width and learning rate are chosen on the validation users without a history, the number of epochs at each length of
history; the project's evaluator measures the lists. Test targets stay here.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.home import home
from tests.benchmarks.cold_start_world import asked, cold_start_users, known, split
from tests.benchmarks.peers.measure import Listed
from tests.benchmarks.peers.process import Peer

PEER_LENGTHS = (0, 1, 5, 20)
SETTINGS = ({"no_components": 32, "loss": "warp"}, {"no_components": 64, "loss": "warp"})
EPOCHS = (2, 5, 10, 20)


@cache
def questions() -> Path:
    """The file for the peer."""
    train, validation, test = split().train, cold_start_users("validation"), cold_start_users("test")
    matrices = {
        "train": train.binarised().matrix,
        "train_features": known().rows(train.users.values),
        "validation_features": validation.metadata,
        "test_features": test.metadata,
        "validation_places": validation.places,
        "test_places": test.places,
        "validation_targets": validation.targets,
    }
    arrays: dict[str, Any] = {}
    for name, matrix in matrices.items():
        assert matrix is not None
        arrays |= {f"{name}.{part}": getattr(matrix, part) for part in ("data", "indices", "indptr", "shape")}
    path = home() / "peers" / "cold-start.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def measure_peer(seed: int) -> dict[str, Any]:
    """One seed at every length."""
    found: dict[str, Any] = {"h": {}, "answers": {}}
    with Peer("lightfm", "lightfm_models", str(questions())) as peer:
        jobs = [{"settings": settings, "epochs": EPOCHS, "seed": seed, "length": 0} for settings in SETTINGS]
        tried = [peer.ask(job) for job in jobs]
        best = max(range(len(jobs)), key=lambda place: tried[place]["validation_ndcg@100"])
        found["tried"] = [{**job, **answer} for job, answer in zip(jobs, tried, strict=True)]
        for length in PEER_LENGTHS:
            path = questions().with_name(f"lightfm-{seed}-{length}.npy")
            job = {**jobs[best], "length": length, "lists": str(path)}
            found["answers"][str(length)] = peer.ask(job)
            found["h"][str(length)] = _figures(np.load(path), cold_start_users("test").asked(length))
    return found


def _figures(lists: NDArray[np.int64], part: HeldOut) -> dict[str, dict[str, str]]:
    scorer = Listed(lists, split().train.n_items)
    return asked({"lightfm": scorer}, part)

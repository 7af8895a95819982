"""RecBole's MultiVAE, training steps on demand. Runs in the peer's environment.

    .venv-peers-recbole/bin/python -m tests.benchmarks.peers.recbole_speed SPLIT.npz

A line `N` runs N steps and is answered with {"steps", "users", "seconds"}: batches of RecBole's own loader, its dense
rating matrix, loss and optimizer, all inside its trainer's `_train_epoch`. 600-200-600, 512 users a batch, float32.
"""

import argparse
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from recbole.utils import get_model, get_trainer, init_seed

from tests.benchmarks.peers.exchange import read_split, serve
from tests.benchmarks.peers.recbole_data import configuration, scratch, training_data, write_atomic_file

SETTINGS = {"mlp_hidden_size": [600], "latent_dimension": 400}
"""RecBole's `latent_dimension` counts mean and log variance together: 400 is 200 latents."""


class Counted:
    """RecBole's batches, epoch after epoch, counting the users that go by."""

    def __init__(self, loader: Any) -> None:
        self.users = 0
        self._batches = self._endless(loader)

    def _endless(self, loader: Any) -> Iterator[Any]:
        while True:
            for interaction in loader:
                self.users += len(interaction)
                yield interaction

    def take(self, n: int) -> Iterator[Any]:
        """The next n batches."""
        return islice(self._batches, n)


def main() -> None:
    """Run steps until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("--batch", type=int, default=512, help="users a step")
    arguments = parser.parse_args()
    train = read_split(arguments.split.resolve()).train
    write_atomic_file(train, scratch())
    os.chdir(scratch())  # RecBole writes logs into the working directory
    config = configuration("MultiVAE", scratch(), SETTINGS | {"train_batch_size": arguments.batch}, seed=0)
    loader, _ = training_data(config, train.shape[1])
    init_seed(0, config["reproducibility"])
    model = get_model("MultiVAE")(config, loader._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], "MultiVAE")(config, model)
    batches = Counted(loader)

    def steps(n: int) -> dict[str, Any]:
        before, started = batches.users, time.perf_counter()
        trainer._train_epoch(batches.take(n), 0)
        return {"steps": n, "users": batches.users - before, "seconds": time.perf_counter() - started}

    serve(steps)


if __name__ == "__main__":
    main()

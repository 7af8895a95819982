"""Write a split for the peers, under RECSYS_HOME/peers/. Runs in the project's environment.

python -m tests.benchmarks.peers.export ml-1m|gowalla
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from recsys_vae.data.histories import binarise
from recsys_vae.evaluation.splits import Split
from recsys_vae.home import home
from tests.benchmarks.peers.exchange import PeerSplit, write_split
from tests.benchmarks.quickstart import gowalla, ml_1m

SPLITS: dict[str, Callable[[], Split]] = {"ml-1m": ml_1m, "gowalla": gowalla}


def workspace(dataset: str) -> Path:
    """Where the exchange with the peers lies, outside git."""
    return home() / "peers" / dataset


def export(dataset: str) -> Path:
    """The file of a split; Gowalla's peers learn from all of the published training part."""
    path = workspace(dataset) / "split.npz"
    write_split(for_peers(SPLITS[dataset]()), path)
    return path


def for_peers(split: Split) -> PeerSplit:
    """A split as the peers see it: the widest training part, and the users who have something to find.

    Where the widest part holds the validation users' targets too, no validation users are given.
    """
    validation, test = split.validation.asked(), split.test.asked()
    if split.refit is not None:
        validation = validation.take(np.arange(0))
    return PeerSplit(
        train=_ones(split.training_part.matrix),
        validation_histories=_ones(validation.histories),
        validation_targets=_ones(validation.targets),
        test_histories=_ones(test.histories),
    )


def _ones(matrix: csr_array) -> csr_matrix:
    return csr_matrix(binarise(matrix))


def main() -> None:
    """Export what is named and print where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=list(SPLITS))
    print(export(parser.parse_args().dataset))


if __name__ == "__main__":
    main()

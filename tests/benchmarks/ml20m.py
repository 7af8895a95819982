"""MovieLens 20M in the split of Liang et al. 2018: `make bench-ml-20m`, for whoever has the data and some hours.

Ratings >= 4, users with at least 5 of them, 10,000 held-out users each for validation and test, 80 % of their items
shown.
The settings stand in configs/ml-20m. Not part of the committed records; expected, as the papers give them:

             recall@20  recall@50  ndcg@100
    mult-vae     .395       .537      .426     Liang et al. 2018, table 2
    rec-vae      .414       .553      .442     Shenbin et al. 2020, table 2
    ease         .391       .521      .420     Steck 2019, table 1

The split draws other users than Liang's code, so expect these within two standard errors, about .004. The data are read
from RECSYS_DATA_DIR/movielens-20m or fetched from GroupLens. Runs resume where they were interrupted.
"""

import argparse
import json
from typing import Any

from pipelines.training.fit import ModelSpec
from recsys_vae.evaluation.splits import Split
from tests.benchmarks.models import described, resumable, specified
from tests.benchmarks.quickstart import METRICS, POSITIVES, on, prepared

EXPECTED = {
    "mult-vae": (0.395, 0.537, 0.426),
    "rec-vae": (0.414, 0.553, 0.442),
    "ease": (0.391, 0.521, 0.420),
}


def ml_20m(heldout: int) -> Split:
    """The split, cut when it is asked for first."""
    recipe = ("--protocol", "strong", "--heldout", str(heldout), "--seed", "98765")
    return prepared("bench-ml-20m", "movielens-20m", POSITIVES, recipe)


def measure(name: str, spec: ModelSpec, split: Split) -> dict[str, Any]:
    """Test figures of one model beside those expected."""
    fitted = resumable(spec, split.train.matrix, split.validation, "ml20m")
    found = on(split.test, fitted.model)
    expected = dict(zip(METRICS, EXPECTED[name], strict=True))
    return {metric: [*found[metric], expected[metric]] for metric in METRICS} | described(fitted)


def main() -> None:
    """Measure, and print one line of JSON a model: metric to value, standard error and expected value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=list(EXPECTED), default=list(EXPECTED))
    parser.add_argument("--heldout", type=int, default=10_000, help="held-out users of each part")
    parser.add_argument("--epochs", type=int, help="planned epochs, instead of those of the settings file")
    arguments = parser.parse_args()
    split = ml_20m(arguments.heldout)
    for name in arguments.models:
        planned = {} if arguments.epochs is None else {"epochs": arguments.epochs}
        spec = specified("ml-20m", name, **planned)
        print(json.dumps({name: measure(name, spec, split)}), flush=True)


if __name__ == "__main__":
    main()

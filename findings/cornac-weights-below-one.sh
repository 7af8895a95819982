#!/usr/bin/env bash
# cornac 3.0.1: weights below 1 are no interactions: such users are not evaluated, and such items come back as
# candidates.
#
# Guess: an implicit log with weights in 0 to 1 (a share watched, a decayed count, ratings divided by 5) is evaluated
# like one of ones.
# Seen: `rating_threshold` is 1.0. Of two users the one whose test item weighs 0.5 is left out without a word; an item
# that the other has in the training with weight 0.5 is not masked, is ranked first and halves the reciprocal rank. With
# all weights doubled both go away.
# Who is hurt: half stars (a 0.5 is none), normalised weights, time decay.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cornac==3.0.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from cornac.eval_methods import BaseMethod
from cornac.metrics import MRR
from cornac.models import Recommender


class ByNumber(Recommender):
    """Ranks items in the order in which the log first names them."""

    def __init__(self):
        super().__init__("by number")

    def score(self, user, item=None):
        return -np.arange(self.train_set.num_items, dtype=float)


def evaluated(factor):
    log = [("u", "0", 0.5), ("u", "1", 1.0), *(("v", str(item), 1.0) for item in range(2, 6))]
    test = [("u", "2", 1.0), ("v", "0", 0.5)]
    parts = [[(user, item, factor * weight) for user, item, weight in part] for part in (log, test)]
    method = BaseMethod.from_splits(*parts, verbose=False)
    result, _ = method.evaluate(ByNumber(), [MRR()], user_based=True)
    return {"users": len(result.metric_user_results["MRR"]), "MRR": round(float(result.metric_avg_results["MRR"]), 3)}


seen = {"weights 0.5 and 1": evaluated(1), "the same times 2": evaluated(2)}
print(seen)
told = {"weights 0.5 and 1": {"users": 1, "MRR": 0.5}, "the same times 2": {"users": 2, "MRR": 1.0}}
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON

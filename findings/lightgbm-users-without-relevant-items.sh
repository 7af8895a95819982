#!/usr/bin/env bash
# LightGBM 4.7.0: a user without any relevant item has an NDCG and a MAP of 1.
#
# Guess: users without relevant items are left out of the average, or count as 0, as in scikit-learn's ndcg_score.
# Seen: each such group counts as 1.0. Where 3 of 4 users have nothing relevant in the test window and the ranker fails
# the fourth, ndcg@5 is 0.75; early stopping then follows a few users, and the figure rises with every user who bought
# nothing.
# Who is hurt: rankers trained on impressions, of which most groups have no click.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lightgbm==4.7.0 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import lightgbm
import numpy as np
from sklearn.metrics import ndcg_score

features = np.random.default_rng(0).random((40, 2))
clicked = np.zeros(40, int)
clicked[9] = 1  # the last of the first user's ten
data = lightgbm.Dataset(features, clicked, group=[10] * 4)
seen = {}
for metric in ("ndcg", "map"):
    told_of: dict = {}
    options = {"objective": "lambdarank", "metric": metric, "eval_at": [5], "verbose": -1, "num_threads": 1}
    options["min_data_in_leaf"] = 100  # so that no tree is grown: all scores are equal
    lightgbm.train(options, data, 1, valid_sets=[data], callbacks=[lightgbm.record_evaluation(told_of)])
    seen[f"LightGBM {metric}@5"] = float(told_of["training"][f"{metric}@5"][0])
by_rank = -np.arange(10.0)[None]
each = [float(ndcg_score(rows[None], by_rank, k=5)) for rows in clicked.reshape(4, 10)]
seen["scikit-learn ndcg@5"] = float(np.mean(each))
print(seen)
told = {"LightGBM ndcg@5": 0.75, "LightGBM map@5": 0.75, "scikit-learn ndcg@5": 0.0}
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON

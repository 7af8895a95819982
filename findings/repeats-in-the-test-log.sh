#!/usr/bin/env bash
# RecTools 0.19.0 and recommenders 1.2.1: NDCG and MAP above 1 where the test log repeats a row.
#
# Guess: what a user bought twice in the test period is one relevant item, or an error; no normalised metric exceeds 1.
# Seen: hits are counted once for each repetition, the ideal is not. RecTools gives NDCG 1.41, recommenders NDCG 3.05
# and MAP 2.0, for one relevant item at the first rank; RecTools' recall stays 1.0 and its precision@5 is 0.6. Nothing
# is said.
# Who is hurt: shops and music, where repeats are the rule, and every comparison of averages over such users.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check RecTools==0.19.0 numpy==1.26.4 pandas==2.3.3 scipy==1.17.1 scikit-learn==1.9.1
# Without what it depends on: its evaluation needs pandas, NumPy and scikit-learn only.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps recommenders==1.2.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pandas as pd
from recommenders.evaluation import python_evaluation
from rectools.metrics import MAP, NDCG, Precision, Recall, calc_metrics

items = [10, 11, 12, 13, 14]
metrics = {"NDCG": NDCG(5, divide_by_achievable=True), "MAP": MAP(5), "precision": Precision(5), "recall": Recall(5)}
seen = {}
for times in (1, 3):
    log = pd.DataFrame({"user_id": [1] * times, "item_id": [10] * times})
    lists = pd.DataFrame({"user_id": [1] * 5, "item_id": items, "rank": [1, 2, 3, 4, 5]})
    seen[f"RecTools, bought {times} times"] = {
        name: round(float(value), 3) for name, value in calc_metrics(metrics, lists, log).items()
    }
    truth = pd.DataFrame({"userID": [1] * times, "itemID": [10] * times, "rating": [1.0] * times})
    ranked = pd.DataFrame({"userID": [1] * 5, "itemID": items, "prediction": [5.0, 4.0, 3.0, 2.0, 1.0]})
    of = {"NDCG": python_evaluation.ndcg_at_k, "MAP": python_evaluation.map_at_k}
    seen[f"recommenders, bought {times} times"] = {
        name: round(float(metric(truth, ranked, k=5)), 3) for name, metric in of.items()
    }
told = {
    "RecTools, bought 1 times": {"NDCG": 1.0, "MAP": 1.0, "precision": 0.2, "recall": 1.0},
    "recommenders, bought 1 times": {"NDCG": 1.0, "MAP": 1.0},
    "RecTools, bought 3 times": {"NDCG": 1.408, "MAP": 1.0, "precision": 0.6, "recall": 1.0},
    "recommenders, bought 3 times": {"NDCG": 3.052, "MAP": 2.0},
}
for what, values in seen.items():
    print(f"{what}: {values}")
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON

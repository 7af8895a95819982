#!/usr/bin/env bash
# recommenders 1.2.1: a user without a list counts as 0 in NDCG, and not at all in recall, precision and MAP.
#
# Guess: metrics of one library, for the same lists, are averages over the same users.
# Seen: two users, a perfect list for one and none for the other: ndcg_at_k 0.5, recall_at_k 1.0, map_at_k 1.0.
# Who is hurt: models that stay silent for hard users (no history, below a threshold): they look better in all metrics
# but one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1 scipy==1.17.1
# Without what it depends on: its evaluation needs pandas, NumPy and scikit-learn only.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps recommenders==1.2.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pandas as pd
from recommenders.evaluation import python_evaluation

truth = pd.DataFrame({"userID": [1, 2], "itemID": [10, 10], "rating": [1.0, 1.0]})
lists = pd.DataFrame({"userID": [1] * 5, "itemID": [10, 11, 12, 13, 14], "prediction": [5.0, 4.0, 3.0, 2.0, 1.0]})
names = ("ndcg_at_k", "recall_at_k", "precision_at_k", "map_at_k")
seen = {name: float(getattr(python_evaluation, name)(truth, lists, k=5)) for name in names}
print(seen)
told = {"ndcg_at_k": 0.5, "recall_at_k": 1.0, "precision_at_k": 0.2, "map_at_k": 1.0}
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON

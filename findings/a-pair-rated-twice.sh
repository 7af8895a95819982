#!/usr/bin/env bash
# cornac 3.0.1, scikit-surprise 1.1.5: a user rates one item twice, and each library learns from another log.
#
# Guess: the later rating replaces the earlier one; or a repeated pair is refused.
# Seen: cornac keeps the first and drops the later (it warns of the number, not of which); surprise keeps both as two
# ratings of one user, in training and in the similarities' averages; scipy, by way of which RecTools, implicit and
# LightFM get theirs, adds them up: 1 and 5 become 6, on a scale that ends at 5. Neither says so.
# Who is hurt: comparisons of libraries on logs of reviews, where people come back to what they reviewed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cornac==3.0.1 scikit-surprise==1.1.5 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cornac
import pandas as pd
from scipy.sparse import coo_matrix
from surprise import Dataset, Reader

log = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "x", "x"], "rating": [1.0, 5.0, 2.0]})  # in order of time
first = cornac.data.Dataset.from_uir(list(log.itertuples(index=False, name=None)))
both = Dataset.load_from_df(log, Reader(rating_scale=(1, 5))).build_full_trainset()
rows, columns = log["user"].astype("category").cat.codes, log["item"].astype("category").cat.codes
seen = {
    "cornac": first.matrix.toarray()[:, 0].tolist(),
    "surprise": [[rating for _, rating in both.ur[both.to_inner_uid(user)]] for user in ("a", "b")],
    "scipy": coo_matrix((log["rating"], (rows, columns))).tocsr().toarray()[:, 0].tolist(),
}
print(seen)
told = {"cornac": [1.0, 2.0], "surprise": [[1.0, 5.0], [2.0]], "scipy": [6.0, 2.0]}
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON

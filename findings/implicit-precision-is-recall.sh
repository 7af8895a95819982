#!/usr/bin/env bash
# implicit 0.7.3: `precision_at_k` is no precision: it divides by the smaller of k and the number of relevant items.
#
# Guess: precision@5 of a list whose first item is the only relevant one is 1/5.
# Seen: 1.0. Hits of all users are summed and divided by the sum of min(k, relevant items): a truncated recall, pooled
# over users, so that a user with many relevant items counts as often as k users with one.
# Who is hurt: anyone who sets implicit's figure beside another library's, or chooses k by it.
set -euo pipefail
export OPENBLAS_NUM_THREADS=1  # implicit warns of more
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from implicit.evaluation import ranking_metrics_at_k
from scipy.sparse import csr_matrix


class ByNumber:
    """Recommends items 5, 4, 3 ... to everybody."""

    def recommend(self, users, user_items, N=10, **options):
        ids = np.tile(np.arange(5, -1, -1, dtype=np.int32)[:N], (len(users), 1))
        return ids, -ids.astype(np.float64)


def precision(test, k):
    none = csr_matrix((len(test), 6), dtype=np.float32)
    return float(ranking_metrics_at_k(ByNumber(), none, csr_matrix(test), K=k, show_progress=False)["precision"])


one = np.array([[0, 0, 0, 0, 0, 1]], np.float32)
both = np.array([[0, 0, 0, 0, 0, 1], [1, 0, 1, 1, 1, 0]], np.float32)
seen = {"one relevant item, found, k=5": precision(one, 5), "beside a user with 4, of which 3 are found, k=5": precision(both, 5)}
told = {"one relevant item, found, k=5": 1.0, "beside a user with 4, of which 3 are found, k=5": (1 + 3) / (1 + 4)}
print(seen, "where hits / k gives 0.2 and (0.2 + 0.6) / 2 = 0.4")
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON

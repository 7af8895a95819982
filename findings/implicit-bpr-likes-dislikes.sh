#!/usr/bin/env bash
# implicit 0.7.3: one matrix, and a dislike (-1) is a dislike for ALS and a like for BPR.
#
# Guess: models of one library read the sign of a value alike, or refuse it.
# Seen: AlternatingLeastSquares takes -1 as "not wanted, with confidence 1". BayesianPersonalizedRanking looks only at
# which entries are stored: factors are the same to the last bit whether an item's entries are all +1 or all -1, so what
# everybody dislikes is recommended.
# Who is hurt: logs with thumbs down, trying BPR in place of ALS.
set -euo pipefail
export OPENBLAS_NUM_THREADS=1  # implicit warns of more
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

draw = np.random.default_rng(0)
liked = (draw.random((60, 12)) < 0.4).astype(np.float32)
disliked = liked.copy()
disliked[:, 3] *= -1


def scores(kind, matrix):
    model = kind(factors=4, random_state=0, num_threads=1)
    model.fit(csr_matrix(matrix), show_progress=False)
    return np.asarray(model.user_factors) @ np.asarray(model.item_factors).T


als = [float(scores(AlternatingLeastSquares, matrix)[:, 3].mean()) for matrix in (liked, disliked)]
bpr = [scores(BayesianPersonalizedRanking, matrix) for matrix in (liked, disliked)]
same = bool(np.array_equal(*bpr))
print(f"ALS: item 3 scores {als[0]:.3f} where all who rated it gave +1, {als[1]:.3f} where they gave -1")
print(f"BPR: the scores of all items are {'the same' if same else 'different'}")
sys.exit(0 if same and als[1] < 0.05 < als[0] else "This has changed: BPR passed over the sign, ALS heeded it.")
PYTHON

#!/usr/bin/env bash
# implicit 0.7.3: a stored 0 in the matrix is not the same as no entry; it is nearly a like.
#
# Guess: a CSR matrix with an explicit zero (a return that took its purchase back, a like undone) trains the same model
# as the matrix without it: for scipy the two are equal.
# Seen: no entry says "probably not wanted", with confidence 1. A stored 0 has confidence 0 and takes that away: the
# item scores 0.97 where a like scores 0.98 and no entry 0.07. And `recommend` counts it among the items that the user
# has, and never shows it.
# Who is hurt: weights that sum to 0, or are set to 0 in place, without eliminate_zeros().
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
from scipy.sparse import csr_matrix

log = np.zeros((12, 8), np.float32)
log[:6, :5] = 1  # two groups of users, with one item in common
log[6:, 4:] = 1
liked = csr_matrix(log)
stored = liked.copy()
stored.data[0] = 0  # user 0, item 0
absent = stored.copy()
absent.eliminate_zeros()
assert (stored != absent).nnz == 0  # for scipy they are the same matrix


def asked(matrix):
    options = {"factors": 3, "regularization": 0.1, "iterations": 30, "random_state": 0, "num_threads": 1}
    model = AlternatingLeastSquares(use_cg=False, **options)
    model.fit(matrix, show_progress=False)
    shown = model.recommend(0, matrix[0], N=8 - matrix[0].nnz)[0]
    return float(model.user_factors[0] @ model.item_factors[0]), 0 in shown.tolist()


seen = {name: asked(matrix) for name, matrix in (("a like", liked), ("a stored 0", stored), ("no entry", absent))}
for name, (score, shown) in seen.items():
    print(f"{name}: the item scores {score:.2f}, and is {'' if shown else 'never '}shown to the user")
same = seen["a stored 0"][0] > 0.9 and seen["no entry"][0] < 0.2 and not seen["a stored 0"][1] and seen["no entry"][1]
sys.exit(0 if same else "This has changed: a stored 0 scored above 0.9 and was hidden, no entry below 0.2 and was shown.")
PYTHON

#!/usr/bin/env bash
# implicit 0.7.3: where fewer than N new items are left, `recommend` fills up with what the user already has.
#
# Guess: with filter_already_liked_items=True, its default, a list is shorter where the catalogue has no more new items.
# Seen: the list has N entries; those that were filtered out stand at its end, items of `filter_items` too. A factor
# model scores them -3.4e38. An item-item model scores them 0.0 for a single user, as an item that it merely knows
# nothing of, and pads lists of several users with the item number -1, which as an index of NumPy is the last item of
# the catalogue.
# Who is hurt: small catalogues, heavy users, filters by stock or region; whoever drops the scores and shows the items.
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
from implicit.nearest_neighbours import CosineRecommender
from scipy.sparse import csr_matrix

lowest = float(np.finfo(np.float32).min)
log = csr_matrix(np.array([[1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 1]], np.float32))
model = AlternatingLeastSquares(factors=2, random_state=0, num_threads=1)
model.fit(log, show_progress=False)
ids, scores = model.recommend(0, log[0], N=5)
banned, _ = model.recommend(0, log[0], N=5, filter_items=[3])

pairs = csr_matrix(np.array([[1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]], np.float32))
neighbours = CosineRecommender(K=3)
neighbours.fit(pairs, show_progress=False)
own, own_scores = neighbours.recommend(0, pairs[0], N=5)
several, _ = neighbours.recommend([0, 1], pairs[[0, 1]], N=5)

seen = {
    "factors: items of user 0, who has 0, 1, 2": (sorted(ids[:2].tolist()), sorted(ids[2:].tolist())),
    "factors: scores of the last three": scores[2:].tolist() == [lowest] * 3,
    "factors: with item 3 filtered out": (banned[:1].tolist(), sorted(banned[1:].tolist())),
    "neighbours: items of user 0, who has 0, 1": (own[:1].tolist(), sorted(own[1:].tolist())),
    "neighbours: scores of the last two": own_scores[1:].tolist(),
    "neighbours, two users at once: the last entries": several[:, 3:].tolist(),
}
told = dict(zip(seen, [([3, 4], [0, 1, 2]), True, ([4], [0, 1, 2, 3]), ([2], [0, 1]), [0.0, 0.0], [[-1, -1], [-1, -1]]]))
for what, value in seen.items():
    print(f"{what}: {value}")
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON
